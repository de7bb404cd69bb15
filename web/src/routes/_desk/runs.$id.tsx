import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { Again } from "@/features/Again";
import { OutcomeChip, RuleLinks } from "@/features/decisions";
import { FILES } from "@/features/files";
import { LongTable } from "@/features/LongTable";
import { STATUS_TONES } from "@/features/tones";
import type { Schemas } from "@/shared/api/client";
import { jobsQuery, runQuery } from "@/shared/api/queries";
import { Chip, StateChip } from "@/shared/ui/Chip";
import { cx } from "@/shared/ui/cx";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Empty, Loaded, Panel } from "@/shared/ui/Panel";
import { type Column, Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";

export const Route = createFileRoute("/_desk/runs/$id")({ component: OneRun });

function OneRun() {
  const { id } = Route.useParams();
  const { firm } = useScope();
  const query = useQuery(runQuery(firm, id));
  const jobs = useQuery({ ...jobsQuery(firm), enabled: firm !== "" });
  const job = jobs.data?.items.find((one) => one.run_id === id);
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
            <Panel
              title={run.run_id}
              aside={
                <span className="flex flex-wrap items-center gap-2">
                  <Chip tone={STATUS_TONES[run.status] ?? "unknown"}>{run.status}</Chip>
                  {job ? <Again job={job} /> : null}
                </span>
              }
            >
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
                {run.status === "failed" && job?.error ? <p className="text-safety">{job.error}</p> : null}
                {job ? (
                  <p>
                    Asked for by {job.by} as{" "}
                    <Link to="/runs/jobs/$id" params={{ id: job.job_id }} className="text-accent underline">
                      a job, which has its log
                    </Link>
                    .
                  </p>
                ) : null}
                <dl className="grid grid-cols-[88px_minmax(0,1fr)] gap-x-3 font-mono text-meta text-muted">
                  {hashesOf(run).map(([name, hash]) => (
                    <div key={name} className="contents">
                      <dt>{name}</dt>
                      <dd className="break-all">{hash}</dd>
                    </div>
                  ))}
                </dl>
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
                <span className="flex flex-wrap gap-3 text-meta text-muted">
                  {run.artifacts_withheld ? <span>some are withheld from your role</span> : null}
                  {run.report ? (
                    <Link to="/artifacts/$" params={{ _splat: run.report }} className="text-accent hover:underline">
                      Its report
                    </Link>
                  ) : null}
                </span>
              }
            >
              {run.artifacts.length === 0 ? (
                <Empty>It left no files.</Empty>
              ) : (
                <LongTable label="Files" columns={FILES} rows={run.artifacts} keyOf={(one) => one.path} />
              )}
            </Panel>
          </div>
        )}
      </Loaded>
    </Page>
  );
}

function hashesOf(run: Schemas["Run"]): [string, string][] {
  const of = run.manifest;
  return [
    ["inputs", run.inputs_hash ?? "unknown"],
    ...(of === null
      ? []
      : ([
          ["prices", of.data_hash],
          ["tapes", of.tape_hash || "none"],
          ["config", of.config_hash],
          ["positions", of.ledger_hash],
        ] as [string, string][])),
  ];
}

/** One mark for each stage of the pipeline, in its order. */
function Stages({ stages }: { stages: readonly Schemas["Stage"][] }) {
  if (stages.length === 0) return null;
  const done = stages.filter((one) => one.status === "done").length;
  return (
    <div className="grid gap-1">
      <p className="text-meta text-muted">
        {done} of {stages.length} stages done
      </p>
      <ol aria-label="Stages" className="flex flex-wrap gap-1">
        {stages.map((one) => (
          <li
            key={one.name}
            className={cx(
              "flex h-6 items-center gap-1 rounded-mark border px-2 text-meta",
              one.status === "done"
                ? "border-accent"
                : one.status === "failed"
                  ? "border-warn text-warn"
                  : "border-line text-muted",
            )}
          >
            {one.name.replaceAll("_", " ")}
            <span className="sr-only">: {one.status}</span>
            {one.status !== "done" ? <span aria-hidden>· {one.status}</span> : null}
          </li>
        ))}
      </ol>
    </div>
  );
}

const RESULTS: readonly Column<Schemas["RunAccount"]>[] = [
  { name: "Account", cell: (one) => one.account },
  { name: "Decision", cell: (one) => <OutcomeChip outcome={one.outcome} /> },
  { name: "State", cell: (one) => <StateChip state={one.trading_state} /> },
  { name: "Bound by", cell: (one) => <RuleLinks rules={one.binding_rules} /> },
];
