import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import type { Schemas } from "@/shared/api/client";
import { approvalsQuery } from "@/shared/api/queries";
import { Chip, type Tone } from "@/shared/ui/Chip";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Empty, Loaded, Panel } from "@/shared/ui/Panel";
import { type Column, Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";

type Approval = Schemas["ApprovalOut"];
export const STATUS_TONES: Record<string, Tone> = {
  requested: "warn",
  given: "accent",
  executing: "accent",
  executed: "plain",
  failed: "safety",
  refused: "plain",
  void: "plain",
  expired: "plain",
};

export const Route = createFileRoute("/_desk/approvals/")({ component: Approvals });

function Approvals() {
  const { firm } = useScope();
  const query = useQuery({ ...approvalsQuery(firm), enabled: firm !== "" });
  return (
    <Page title="Approvals">
      <Loaded query={query} height={300}>
        {(all) => {
          const waiting = all.filter((one) => one.status === "requested");
          const ended = all.filter((one) => one.status !== "requested").reverse();
          return (
            <div className="grid gap-4">
              <Panel title="Waiting">
                {waiting.length === 0 ? (
                  <Empty>Nothing waits for you.</Empty>
                ) : (
                  <ul className="grid gap-3">
                    {waiting.map((one) => (
                      <li key={one.request_id}>
                        <Link
                          to="/approvals/$id"
                          params={{ id: one.request_id }}
                          className="grid gap-1 rounded-control border border-line px-3 py-2 hover:border-muted"
                        >
                          <span className="flex flex-wrap items-center gap-2">
                            <Chip tone="warn">{one.kind}</Chip>
                            <span className="font-medium">{one.account || firm}</span>
                            <span className="text-muted">asked by {one.maker}</span>
                            <span className="ml-auto text-muted">
                              until <Time at={one.expires_at} />
                            </span>
                          </span>
                          <span>{one.effects[0] ?? one.command}</span>
                          <span className="text-muted">{one.reason}</span>
                        </Link>
                      </li>
                    ))}
                  </ul>
                )}
              </Panel>
              <Panel title="Decided">
                {ended.length === 0 ? (
                  <Empty>Nothing was decided yet.</Empty>
                ) : (
                  <Table
                    label="Requests that have ended"
                    columns={COLUMNS}
                    rows={ended.slice(0, 50)}
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
  { name: "How it ended", cell: (one) => <span className="text-muted">{one.why}</span>, wide: true },
];
