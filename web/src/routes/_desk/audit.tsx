import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { useState } from "react";
import type { Schemas } from "@/shared/api/client";
import { answered, api } from "@/shared/api/client";
import { auditQuery } from "@/shared/api/queries";
import { span } from "@/shared/format/time";
import { Button } from "@/shared/ui/Button";
import { Chip, type Tone } from "@/shared/ui/Chip";
import { Dialog } from "@/shared/ui/Dialog";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { useScope } from "@/shell/scope";

type Row = Schemas["EntryRow"];
const SEVERITY: Record<string, Tone> = { info: "plain", notice: "accent", warning: "warn", critical: "safety" };

export const Route = createFileRoute("/_desk/audit")({
  validateSearch: (said: Record<string, unknown>): { mine?: boolean } => (said.mine === true ? { mine: true } : {}),
  component: Audit,
});

function Audit() {
  const { firm, account } = useScope();
  const { mine } = Route.useSearch();
  const [limit, setLimit] = useState(50);
  const query = useQuery({
    ...auditQuery(firm, mine ? account : undefined, limit),
    enabled: firm !== "",
    placeholderData: (b) => b,
  });
  const reach = useQuery({
    queryKey: ["verification", firm, "reach"],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/audit/reach", { params: { path: { firm } } })),
    enabled: firm !== "",
  });
  const [open, setOpen] = useState<Row | null>(null);
  return (
    <Page
      title="Audit"
      aside={
        <Link
          to="/audit"
          search={(before) => ({ ...before, ...(mine ? { mine: undefined } : { mine: true }) }) as never}
          className="inline-flex h-8 items-center rounded-control border border-line px-3 max-desk:h-11"
        >
          {mine ? `Only ${account}` : "Whole firm"}
        </Link>
      }
    >
      <div className="grid gap-4">
        <Panel title="How far it is proved">
          <Loaded query={reach} height={40}>
            {(found) => (
              <div className="grid gap-0.5">
                <p>
                  {found.checkpoint === 0 ? (
                    "No checkpoint is signed yet."
                  ) : (
                    <>
                      Checkpoint {found.checkpoint} over {found.chains.length} chains, signed{" "}
                      <Time at={found.made_at} />.
                    </>
                  )}
                  {found.checkpoints_ok ? null : <strong className="text-safety"> The checkpoints do not hold.</strong>}
                </p>
                <p className={found.witness_faults > 0 ? "text-safety" : "text-muted"}>
                  {found.witnesses === 0
                    ? "No witness outside is configured: a tail that was cut off could not be shown."
                    : found.witness_faults > 0
                      ? `${found.witness_faults} of ${found.witnesses} witnesses cannot be reached, or hold another past.`
                      : `Witnessed up to checkpoint ${found.witnessed_checkpoint}, ${span(found.witnessed_age_s)} ago.`}
                </p>
              </div>
            )}
          </Loaded>
        </Panel>
        <Panel title="Entries, the newest first">
          <Loaded
            query={query}
            height={600}
            empty={{
              when: (d) => d.items.length === 0,
              why: "No audit events match. Clear filters or widen the window.",
            }}
          >
            {(data) => (
              <>
                <ul>
                  {data.items.map((row) => (
                    <li key={row.event_id} className="border-b border-line/60 last:border-0">
                      <button
                        type="button"
                        onClick={() => setOpen(row)}
                        className="grid w-full grid-cols-[minmax(0,1fr)_auto] items-center gap-x-3 py-1.5 text-left hover:bg-raised/50 max-desk:py-2.5 tablet:grid-cols-[150px_140px_110px_minmax(0,1fr)]"
                      >
                        <span className="text-muted">
                          <Time at={row.recorded_at} />
                        </span>
                        <span>
                          <Chip tone={SEVERITY[row.severity] ?? "plain"}>
                            {row.event_type.replaceAll("_", " ").toLowerCase()}
                          </Chip>
                        </span>
                        <span className="truncate text-muted max-tablet:hidden">{row.account.split("/")[1]}</span>
                        <span className="truncate max-tablet:col-span-2">{row.rationale}</span>
                      </button>
                    </li>
                  ))}
                </ul>
                {data.next_cursor !== null && limit < 200 ? (
                  <Button className="mt-3" onClick={() => setLimit(200)}>
                    Show more
                  </Button>
                ) : null}
              </>
            )}
          </Loaded>
        </Panel>
      </div>
      {open ? <OneEntry row={open} onClose={() => setOpen(null)} /> : null}
    </Page>
  );
}

function OneEntry({ row, onClose }: { row: Row; onClose: () => void }) {
  const { firm } = useScope();
  const query = useQuery({
    queryKey: ["entry", firm, row.place.chain_id, row.place.seq],
    queryFn: () =>
      answered(
        api.GET("/api/v1/firms/{firm}/audit/entry", {
          params: { path: { firm }, query: { chain_id: row.place.chain_id, seq: row.place.seq } },
        }),
      ),
    staleTime: Number.POSITIVE_INFINITY,
  });
  return (
    <Dialog open onOpenChange={(isOpen) => (isOpen ? undefined : onClose())} title={row.event_type} wide>
      <Loaded query={query} height={200}>
        {(entry) => (
          <div className="grid gap-3">
            <p>{entry.rationale}</p>
            <dl className="grid grid-cols-[110px_minmax(0,1fr)] gap-y-1">
              {(
                [
                  ["Recorded", <Time key="at" at={entry.recorded_at} seconds />],
                  ["By", `${entry.actor.type} ${entry.actor.id}`],
                  ["Account", entry.account],
                  ["Chain", `${entry.place.chain_id}, number ${entry.place.seq}`],
                  ["Hash", entry.place.entry_hash],
                  ["After", entry.place.prev_hash],
                  ["Proof", entry.proof.replaceAll("_", " ")],
                  [
                    "Links",
                    entry.follows ? "it follows the entry before it" : "it does not follow the entry before it",
                  ],
                ] as const
              ).map(([name, value]) => (
                <div key={name} className="contents">
                  <dt className="text-muted">{name}</dt>
                  <dd className="min-w-0 break-all">{value}</dd>
                </div>
              ))}
            </dl>
            <pre className="max-h-96 overflow-auto rounded-control border border-line bg-bg p-2 font-mono text-meta">
              {JSON.stringify(entry.payload, null, 2)}
            </pre>
          </div>
        )}
      </Loaded>
    </Dialog>
  );
}
