import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { OutcomeChip, RuleLinks } from "@/features/decisions";
import type { Schemas } from "@/shared/api/client";
import { runQuery } from "@/shared/api/queries";
import { money } from "@/shared/format/numbers";
import { Chip, StateChip } from "@/shared/ui/Chip";
import { cx } from "@/shared/ui/cx";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Empty, Loaded, Panel } from "@/shared/ui/Panel";
import { type Column, Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";
import { STATUS_TONES } from "./runs.index";

export const Route = createFileRoute("/_desk/runs/$id")({ component: OneRun });

function OneRun() {
  const { id } = Route.useParams();
  const { firm } = useScope();
  const query = useQuery(runQuery(firm, id));
  return (
    <Page
      title="Run"
      aside={
        <Link to="/runs" className="text-muted hover:text-fg">
          All runs
        </Link>
      }
    >
      <Loaded query={query} height={500}>
        {(run) => (
          <div className="grid gap-4">
            <Panel title={run.run_id} aside={<Chip tone={STATUS_TONES[run.status] ?? "unknown"}>{run.status}</Chip>}>
              <div className="grid gap-3">
                <p className="text-muted">
                  {run.kind}, as of <Time at={run.as_of} />
                  {run.manifest
                    ? `, source ${run.manifest.source}, ${run.manifest.symbols.length} symbols, program ${run.manifest.code_version}`
                    : ""}
                </p>
                {run.waiting.map((one) => (
                  <p key={one.request_id}>
                    {one.account} waits:{" "}
                    <Link to="/approvals/$id" params={{ id: one.request_id }} className="text-accent underline">
                      {one.request_id}
                    </Link>
                  </p>
                ))}
                <Stages stages={run.stages} />
                {run.manifest && run.manifest.notes.length > 0 ? (
                  <ul className="list-disc pl-4 text-muted">
                    {run.manifest.notes.map((one) => (
                      <li key={one}>{one}</li>
                    ))}
                  </ul>
                ) : null}
                <p className="font-mono text-meta break-all text-muted">inputs {run.inputs_hash ?? "unknown"}</p>
              </div>
            </Panel>
            <Panel title="Decisions">
              {run.results.length === 0 ? (
                <Empty>It has decided nothing that is kept by account.</Empty>
              ) : (
                <Table label="What it came to" columns={RESULTS} rows={run.results} keyOf={(one) => one.account} />
              )}
            </Panel>
            <Panel
              title="Artifacts"
              aside={
                run.artifacts_withheld ? (
                  <span className="text-meta text-muted">some are withheld from your role</span>
                ) : null
              }
            >
              {run.artifacts.length === 0 ? (
                <Empty>It left no files.</Empty>
              ) : (
                <Table label="Files" columns={FILES} rows={run.artifacts} keyOf={(one) => one.path} dense />
              )}
            </Panel>
          </div>
        )}
      </Loaded>
    </Page>
  );
}

/** One mark for each stage of the pipeline, in its order. */
function Stages({ stages }: { stages: readonly Schemas["Stage"][] }) {
  if (stages.length === 0) return null;
  return (
    <ol aria-label="Stages" className="flex flex-wrap gap-1">
      {stages.map((one) => (
        <li
          key={one.name}
          className={cx(
            "flex h-6 items-center gap-1 rounded-mark border px-2 text-meta",
            one.status === "done"
              ? "border-accent"
              : one.status === "failed"
                ? "border-safety text-safety"
                : "border-line text-muted",
          )}
        >
          {one.name.replaceAll("_", " ")}
          <span className="sr-only">: {one.status}</span>
          {one.status !== "done" ? <span aria-hidden>· {one.status}</span> : null}
        </li>
      ))}
    </ol>
  );
}

const RESULTS: readonly Column<Schemas["RunAccount"]>[] = [
  { name: "Account", cell: (one) => one.account },
  { name: "Decision", cell: (one) => <OutcomeChip outcome={one.outcome} /> },
  { name: "State", cell: (one) => <StateChip state={one.trading_state} /> },
  { name: "Bound by", cell: (one) => <RuleLinks rules={one.binding_rules} /> },
];

const FILES: readonly Column<Schemas["Artifact"]>[] = [
  {
    name: "File",
    cell: (one) => (
      <Link to="/artifacts/$" params={{ _splat: one.path }} className="text-accent hover:underline">
        {one.path.split("/").slice(2).join("/") || one.name}
      </Link>
    ),
  },
  { name: "Kind", cell: (one) => one.kind },
  { name: "Bytes", cell: (one) => money(one.size_bytes), right: true },
  { name: "Changed", cell: (one) => <Time at={one.modified_at} />, wide: true },
];
