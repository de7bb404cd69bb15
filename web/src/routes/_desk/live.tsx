import { useQuery } from "@tanstack/react-query";
import { createFileRoute } from "@tanstack/react-router";
import { useContext } from "react";
import { LastChange } from "@/features/LastChange";
import type { Schemas } from "@/shared/api/client";
import { controlsQuery, liveQuery, refusalsQuery } from "@/shared/api/queries";
import { span } from "@/shared/format/time";
import { sentence } from "@/shared/format/words";
import { Button } from "@/shared/ui/Button";
import { Chip, ModeChip, StateChip } from "@/shared/ui/Chip";
import { cx } from "@/shared/ui/cx";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Empty, Loaded, Panel } from "@/shared/ui/Panel";
import { useCommand } from "@/shell/confirming";
import { HaltContext } from "@/shell/halt-inside";
import { useScope } from "@/shell/scope";

type Row = Schemas["LiveAccountOut"];
const LADDER = ["dry_run", "shadow", "gated", "live"];

export const Route = createFileRoute("/_desk/live")({ component: LivePage });

function LivePage() {
  const { firm } = useScope();
  const query = useQuery({ ...liveQuery(firm), enabled: firm !== "" });
  const controls = useQuery({ ...controlsQuery(firm), enabled: firm !== "" });
  return (
    <Page title="Live">
      <Loaded
        query={query}
        height={400}
        empty={{ when: (d) => d.accounts.length === 0, why: "No account of this firm may be seen by you." }}
      >
        {(data) => (
          <div className="grid gap-4">
            {data.degraded ? (
              <p role="alert" className="text-warn">
                {data.degraded}
              </p>
            ) : null}
            {data.accounts.map((one) => (
              <AccountPanel key={one.account} row={one} />
            ))}
            <Refusals />
            <Panel title="Halts">
              <Loaded
                query={controls}
                height={80}
                empty={{ when: (d) => d.length === 0, why: "Nothing was ever halted here." }}
              >
                {(rows) => (
                  <ul className="grid gap-2">
                    {rows.map((one) => (
                      <li key={`${one.scope}-${one.control_no}`} className="flex flex-wrap items-center gap-2">
                        <Chip tone={one.in_force ? "safety" : "plain"}>{one.level}</Chip>
                        <span className="font-medium">{one.account || one.scope}</span>
                        <span className="text-muted">
                          set <Time at={one.set_at} /> by {one.set_by}
                        </span>
                        <span className="min-w-0">{one.reason}</span>
                        {one.cleared_at ? (
                          <span className="text-muted">
                            · ended <Time at={one.cleared_at} />
                          </span>
                        ) : null}
                      </li>
                    ))}
                  </ul>
                )}
              </Loaded>
            </Panel>
          </div>
        )}
      </Loaded>
    </Page>
  );
}

/** What was refused and by whom it was asked for, out of the record. */
function Refusals() {
  const { firm, holds } = useScope();
  const may = holds("audit.read");
  const query = useQuery({ ...refusalsQuery(firm), enabled: may });
  if (!may) return null;
  return (
    <Panel title="Refused" aside={<span className="text-meta text-muted">the last ten of the record</span>}>
      <Loaded query={query} height={64} empty={{ when: (d) => d.items.length === 0, why: "Nothing was refused here." }}>
        {(data) => (
          <ul className="grid gap-2">
            {data.items.map((one) => (
              <li key={one.place.event_id}>
                <span className="text-muted">
                  <Time at={one.as_of} /> · {one.actor.type} {one.actor.id}
                </span>
                <span className="block">{one.rationale}</span>
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </Panel>
  );
}

function AccountPanel({ row }: { row: Row }) {
  const { whyNot } = useScope();
  const halt = useContext(HaltContext);
  const id = row.account.split("/")[1] ?? "";
  const ask = useCommand();
  const halted = (row.halt.level ?? 0) > 0;
  const next = row.next_gate?.mode;
  return (
    <Panel
      title={row.account}
      aside={
        <span className="flex flex-wrap items-center gap-2">
          <ModeChip mode={row.mode} />
          <StateChip state={row.trading_state} />
        </span>
      }
    >
      <div className="grid gap-4">
        <ol aria-label="Ladder" className="flex flex-wrap gap-2">
          {LADDER.map((one) => (
            <li
              key={one}
              aria-current={one === row.mode ? "step" : undefined}
              className={cx(
                "flex h-7 items-center rounded-control border px-3",
                one === row.mode ? "border-accent font-medium" : "border-line text-muted",
              )}
            >
              {one.replace("_", "-")}
            </li>
          ))}
        </ol>
        <LastChange account={id} concerns={(path) => path === "mode"} />
        <p role={halted ? "alert" : undefined} className={cx(halted && "text-safety")}>
          {halted ? row.halt.text : row.halt.level === null ? "Whether it is halted is unknown." : "Not halted."}
        </p>
        {row.latches && row.latches.length > 0 ? (
          <ul>
            {(row.latches as readonly Schemas["Latch"][]).map((one) => (
              <li key={one.rule_id}>
                <Chip tone="safety">{one.rule_id}</Chip> {one.title} since <Time at={one.since} />, lets go:{" "}
                {one.release}
              </li>
            ))}
          </ul>
        ) : (
          <p className="text-muted">
            {row.latches === null ? "Whether a rule has locked it is unknown." : "No rule has locked it."}
          </p>
        )}
        {row.next_gate ? <Gate gate={row.next_gate} /> : <Empty>It stands at the top of the ladder.</Empty>}
        <div className="flex flex-wrap gap-2">
          <Button
            kind="safety"
            why={whyNot("halt.pause", id) || undefined}
            onClick={() => halt?.(id)}
            command={`/halt account account:${row.account}`}
          >
            Halt {id}
          </Button>
          <Button
            why={halted ? whyNot("unlock.request", id) || undefined : "Nothing is halted here."}
            onClick={() => ask.mutate(`/resume account account:${row.account}`)}
            command={`/resume account account:${row.account}`}
          >
            Resume {id}
          </Button>
          {next === "shadow" ? (
            <Button
              why={whyNot("mode.shadow", id) || undefined}
              onClick={() => ask.mutate(`/live shadow account:${row.account}`)}
              command={`/live shadow account:${row.account}`}
            >
              Shadow {id}
            </Button>
          ) : next ? (
            <Button
              why={whyNot("mode.live", id) || undefined}
              onClick={() => ask.mutate(`/live enable account:${row.account} mode:${next}`)}
              command={`/live enable account:${row.account} mode:${next}`}
            >
              Enable {next} on {id}
            </Button>
          ) : null}
        </div>
        {ask.isError ? <p role="alert">{ask.error.message}</p> : null}
      </div>
    </Panel>
  );
}

function Gate({ gate }: { gate: Schemas["GateShown"] }) {
  return (
    <div>
      <h3 className="font-medium">
        Gate {gate.name} to {gate.title}: {gate.state.replaceAll("_", " ")}
      </h3>
      <p className="text-muted">{sentence(gate.detail)}</p>
      <ul className="grid gap-1 pt-1">
        {gate.conditions.map((one) => (
          <li
            key={one.name}
            className="grid grid-cols-[90px_minmax(0,1fr)] gap-2 tablet:grid-cols-[90px_minmax(0,1fr)_minmax(0,1fr)]"
          >
            <span>
              <Chip tone={one.state === "met" ? "accent" : one.state === "unknown" ? "unknown" : "warn"}>
                {one.state.replaceAll("_", " ")}
              </Chip>
            </span>
            <span>{sentence(one.title)}</span>
            <span className="text-muted max-tablet:col-start-2">
              {one.evidence}
              {one.age_s !== null ? ` (${span(one.age_s)} ago)` : ""}
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}
