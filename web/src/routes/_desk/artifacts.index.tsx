import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { ChevronRight } from "lucide-react";
import { FILES } from "@/features/files";
import { LongTable } from "@/features/LongTable";
import type { Schemas } from "@/shared/api/client";
import { runsQuery, treeQuery } from "@/shared/api/queries";
import { day } from "@/shared/format/time";
import { usePrefs } from "@/shared/prefs";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Empty, Loaded, Panel } from "@/shared/ui/Panel";
import { useScope } from "@/shell/scope";

type Run = Schemas["RunRow"];

export const Route = createFileRoute("/_desk/artifacts/")({
  validateSearch: (said: Record<string, unknown>): { run?: string } =>
    typeof said.run === "string" && said.run.length <= 140 ? { run: said.run } : {},
  component: Artifacts,
});

function Artifacts() {
  const { firm, chosen } = useScope();
  const { zone } = usePrefs();
  const query = useQuery({ ...runsQuery(firm), enabled: firm !== "" });
  return (
    <Page title="Artifacts">
      <Loaded query={query} height={240}>
        {(data) => {
          const runs = data.items.filter((one) => chosen === undefined || one.accounts.includes(`${firm}/${chosen}`));
          const days = new Map<string, Run[]>();
          for (const one of runs) {
            const at = one.as_of === null ? "" : day(one.as_of, zone);
            days.set(at, [...(days.get(at) ?? []), one]);
          }
          return runs.length === 0 ? (
            <Empty>
              No artifacts under this filter. <code>/run backtest account:{firm}/…</code> leaves some.
            </Empty>
          ) : (
            <div className="grid gap-4">
              {[...days].map(([at, own]) => (
                <Panel
                  key={at}
                  title={at || "Not decided yet"}
                  aside={
                    <span className="text-meta text-muted">
                      {own.length} {own.length === 1 ? "run" : "runs"}
                    </span>
                  }
                >
                  <ul>
                    {own.map((one) => (
                      <Branch key={one.run_id} run={one} />
                    ))}
                  </ul>
                </Panel>
              ))}
            </div>
          );
        }}
      </Loaded>
    </Page>
  );
}

/** A run, and the files it left once it is opened. */
function Branch({ run }: { run: Run }) {
  const { run: asked } = Route.useSearch();
  const navigate = Route.useNavigate();
  const open = asked === run.run_id;
  return (
    <li className="border-b border-line/60 last:border-0">
      <button
        type="button"
        aria-expanded={open}
        onClick={() =>
          void navigate({
            search: ({ run: _, ...before }) => (open ? before : { ...before, run: run.run_id }),
            replace: true,
            resetScroll: false,
          })
        }
        className="flex min-h-9 w-full flex-wrap items-center gap-x-3 py-1 text-left hover:bg-raised/50 max-desk:min-h-11"
      >
        <ChevronRight aria-hidden className={`size-4 text-muted ${open ? "rotate-90" : ""}`} />
        <span className="font-mono text-meta break-all">{run.run_id}</span>
        <span className="text-muted">
          {run.kind}, {run.accounts.map((one) => one.split("/")[1]).join(", ") || "market only"},{" "}
          <Time at={run.as_of} />
        </span>
      </button>
      {open ? <Files run={run} /> : null}
    </li>
  );
}

function Files({ run }: { run: Run }) {
  const { firm } = useScope();
  const query = useQuery(treeQuery(firm, run.run_id));
  return (
    <div className="pb-3 pl-7 max-desk:pl-0">
      <Loaded query={query} height={96} empty={{ when: (d) => d.files.length === 0, why: "This run left no files." }}>
        {(tree) => (
          <>
            {tree.withheld ? <p className="text-muted">Some are withheld from your role.</p> : null}
            {(["firm", "market"] as const).map((scope) => {
              const own = tree.files.filter((one) => one.scope === scope);
              return own.length === 0 ? null : (
                <section key={scope} className="mt-1">
                  <h3 className="text-meta text-muted">{scope === "firm" ? firm : "Market, shared by all firms"}</h3>
                  <LongTable label={`Files of ${scope}`} columns={FILES} rows={own} keyOf={(one) => one.path} />
                </section>
              );
            })}
          </>
        )}
      </Loaded>
      <Link to="/runs/$id" params={{ id: run.run_id }} className="text-meta text-accent hover:underline">
        The run itself
      </Link>
    </div>
  );
}
