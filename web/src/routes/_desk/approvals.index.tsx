import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import {
  type Approval,
  CLASS_WORDS,
  decidedOf,
  isSevere,
  type Order,
  queueOf,
  STATUS_TONES,
  secondsLeft,
} from "@/features/approvals";
import { approvalsQuery } from "@/shared/api/queries";
import { serverNow, useNow } from "@/shared/clock";
import { span } from "@/shared/format/time";
import { Chip } from "@/shared/ui/Chip";
import { cx } from "@/shared/ui/cx";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Empty, Loaded, Panel } from "@/shared/ui/Panel";
import { type Column, Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";

const LAST = 5;

export const Route = createFileRoute("/_desk/approvals/")({
  validateSearch: (said: Record<string, unknown>): { order?: Order; decided?: "all" } => ({
    ...(said.order === "age" ? { order: "age" as const } : {}),
    ...(said.decided === "all" ? { decided: "all" as const } : {}),
  }),
  component: Approvals,
});

function Approvals() {
  const { firm } = useScope();
  const search = Route.useSearch();
  const { order = "severity", decided } = search;
  const query = useQuery({ ...approvalsQuery(firm), enabled: firm !== "" });
  const now = useNow(serverNow, 10_000);
  return (
    <Page title="Approvals">
      <Loaded query={query} height={300}>
        {(all) => {
          const waiting = queueOf(all, order);
          const ended = decidedOf(all);
          return (
            <div className="grid gap-4">
              <Panel
                title={waiting.length === 0 ? "Waiting" : `Waiting: ${waiting.length}`}
                aside={
                  waiting.length > 1 ? (
                    <nav aria-label="Order" className="flex gap-1">
                      {(["severity", "age"] as const).map((one) => (
                        <Link
                          key={one}
                          to="/approvals"
                          search={{ ...search, order: one }}
                          aria-current={one === order ? "true" : undefined}
                          className={cx(
                            "inline-flex h-8 items-center rounded-control border px-3 max-desk:h-11",
                            one === order ? "border-accent" : "border-line text-muted",
                          )}
                        >
                          {one === "severity" ? "Gravest first" : "Oldest first"}
                        </Link>
                      ))}
                    </nav>
                  ) : null
                }
              >
                {waiting.length === 0 ? (
                  <Empty>
                    Nothing waits for you. What needs a second person comes here by itself, from a command, a
                    configuration or a run.
                  </Empty>
                ) : (
                  <ul className="grid gap-3">
                    {waiting.map((one) => (
                      <Waiting key={one.request_id} asked={one} now={now} />
                    ))}
                  </ul>
                )}
              </Panel>
              <Panel
                title={decided === "all" || ended.length <= LAST ? "Decided" : `The last ${LAST} decided`}
                aside={
                  ended.length > LAST ? (
                    <Link
                      to="/approvals"
                      search={decided === "all" ? { order } : { ...search, decided: "all" }}
                      className="text-accent hover:underline"
                    >
                      {decided === "all" ? `Only the last ${LAST}` : `All ${ended.length}`}
                    </Link>
                  ) : null
                }
              >
                {ended.length === 0 ? (
                  <Empty>Nothing was decided yet.</Empty>
                ) : (
                  <Table
                    label="Requests that have ended"
                    columns={COLUMNS}
                    rows={decided === "all" ? ended : ended.slice(0, LAST)}
                    keyOf={(one) => one.request_id}
                  />
                )}
              </Panel>
            </div>
          );
        }}
      </Loaded>
    </Page>
  );
}

function Waiting({ asked, now }: { asked: Approval; now: number }) {
  const left = secondsLeft(asked, now);
  const age = Math.max(0, (now - new Date(asked.created_at).getTime()) / 1_000);
  return (
    <li>
      <Link
        to="/approvals/$id"
        params={{ id: asked.request_id }}
        className={cx(
          "grid gap-1 rounded-control border px-3 py-2 hover:border-muted",
          isSevere(asked) ? "border-warn" : "border-line",
        )}
      >
        <span className="flex flex-wrap items-center gap-2">
          <Chip tone={isSevere(asked) ? "safety" : "plain"}>{CLASS_WORDS[asked.klass] ?? asked.klass}</Chip>
          <span className="font-medium">
            {asked.kind} for {asked.account || asked.firm_id}
          </span>
          <span className="text-muted">
            asked by {asked.maker}, {span(age)} ago
          </span>
          <span className={cx("ml-auto", left < 300 ? "text-warn" : "text-muted")}>
            {left === 0 ? "its time is over" : `${span(left)} left`}
            {asked.required > 1 ? ` · ${asked.given} of ${asked.required} agreed` : ""}
            {asked.comments.length > 0
              ? ` · ${asked.comments.length} ${asked.comments.length === 1 ? "comment" : "comments"}`
              : ""}
          </span>
        </span>
        <span>{asked.effects[0] ?? asked.command}</span>
        <span className="text-muted">{asked.reason}</span>
      </Link>
    </li>
  );
}

const COLUMNS: readonly Column<Approval>[] = [
  {
    name: "Request",
    cell: (one) => (
      <Link to="/approvals/$id" params={{ id: one.request_id }} className="text-accent hover:underline">
        {one.kind} {one.account || one.firm_id}
      </Link>
    ),
  },
  { name: "Status", cell: (one) => <Chip tone={STATUS_TONES[one.status] ?? "unknown"}>{one.status}</Chip> },
  { name: "Asked", cell: (one) => <Time at={one.created_at} />, wide: true },
  { name: "By", cell: (one) => one.maker, wide: true },
  {
    name: "Answered by",
    cell: (one) => one.votes.map((vote) => vote.actor).join(", ") || <span className="text-muted">nobody</span>,
    wide: true,
  },
  {
    name: "How it ended",
    cell: (one) => <span className="text-muted">{one.why === one.status ? "" : one.why}</span>,
    wide: true,
  },
];
