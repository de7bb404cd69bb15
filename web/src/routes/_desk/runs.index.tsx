import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { STATUS_TONES } from "@/features/tones";
import type { Schemas } from "@/shared/api/client";
import { jobsQuery, runsQuery } from "@/shared/api/queries";
import { percent } from "@/shared/format/numbers";
import { Button } from "@/shared/ui/Button";
import { Chip } from "@/shared/ui/Chip";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { type Column, Table } from "@/shared/ui/Table";
import { useCommand } from "@/shell/confirming";
import { useScope } from "@/shell/scope";

type Run = Schemas["RunRow"];
type Job = Schemas["JobOut"];
export const Route = createFileRoute("/_desk/runs/")({ component: Runs });

function Runs() {
  const { firm, account, whyNot } = useScope();
  const runs = useQuery({ ...runsQuery(firm), enabled: firm !== "" });
  const jobs = useQuery({ ...jobsQuery(firm), enabled: firm !== "" });
  const ask = useCommand(() => void jobs.refetch());
  const why = whyNot("run.start", account) || undefined;
  return (
    <Page
      title="Runs"
      aside={
        <span className="flex flex-wrap gap-2">
          <Button
            why={why}
            disabled={ask.isPending}
            command={`/run report account:${firm}/${account}`}
            onClick={() => ask.mutate(`/run report account:${firm}/${account}`)}
          >
            Report of {account}
          </Button>
          <Button
            kind="primary"
            why={why}
            disabled={ask.isPending}
            command={`/run backtest account:${firm}/${account}`}
            onClick={() => ask.mutate(`/run backtest account:${firm}/${account}`)}
          >
            Backtest {account}
          </Button>
        </span>
      }
    >
      <div className="grid gap-4">
        {ask.isError ? <p role="alert">{ask.error.message}</p> : null}
        {ask.data?.kind === "done" ? <p role="status">{ask.data.done.said}</p> : null}
        <Panel title="Jobs">
          <Loaded
            query={jobs}
            height={120}
            empty={{
              when: (d) => d.items.length === 0,
              why: (
                <>
                  No jobs yet. <code>/run regime symbol:SPX</code> starts one.
                </>
              ),
            }}
          >
            {(data) => (
              <Table label="Jobs, the newest first" columns={JOBS} rows={data.items} keyOf={(one) => one.job_id} />
            )}
          </Loaded>
        </Panel>
        <Panel title="Runs">
          <Loaded
            query={runs}
            height={240}
            empty={{
              when: (d) => d.items.length === 0,
              why: (
                <>
                  No runs yet. <code>/run regime symbol:SPX</code> starts one.
                </>
              ),
            }}
          >
            {(data) => (
              <Table label="Runs, the newest first" columns={RUNS} rows={data.items} keyOf={(one) => one.run_id} />
            )}
          </Loaded>
        </Panel>
      </div>
    </Page>
  );
}

const JOBS: readonly Column<Job>[] = [
  {
    name: "Job",
    cell: (one) => (
      <Link to="/runs/jobs/$id" params={{ id: one.job_id }} className="text-accent hover:underline">
        {one.kind}
      </Link>
    ),
  },
  { name: "Status", cell: (one) => <Chip tone={STATUS_TONES[one.status] ?? "unknown"}>{one.status}</Chip> },
  {
    name: "How far",
    cell: (one) =>
      one.status === "running" ? (
        <span className="flex items-center gap-2">
          <progress
            aria-label={`How far ${one.kind} is`}
            value={one.progress ?? undefined}
            max={1}
            className="h-2 w-20 accent-(--accent)"
          />
          {one.stage} {one.progress === null ? "" : percent(one.progress, 0)}
        </span>
      ) : (
        <span className="block max-w-md truncate" title={one.error}>
          {one.error}
        </span>
      ),
  },
  { name: "Asked", cell: (one) => <Time at={one.created_at} />, wide: true },
  { name: "By", cell: (one) => one.by, wide: true },
  {
    name: "Run",
    cell: (one) =>
      one.run_id ? (
        <Link to="/runs/$id" params={{ id: one.run_id }} className="font-mono text-meta text-accent hover:underline">
          {one.run_id}
        </Link>
      ) : (
        ""
      ),
    wide: true,
  },
];

const RUNS: readonly Column<Run>[] = [
  {
    name: "Run",
    cell: (one) => (
      <Link to="/runs/$id" params={{ id: one.run_id }} className="font-mono text-meta text-accent hover:underline">
        {one.run_id}
      </Link>
    ),
  },
  { name: "Kind", cell: (one) => one.kind },
  { name: "Status", cell: (one) => <Chip tone={STATUS_TONES[one.status] ?? "unknown"}>{one.status}</Chip> },
  { name: "As of", cell: (one) => <Time at={one.as_of} />, wide: true },
  { name: "Accounts", cell: (one) => one.accounts.map((name) => name.split("/")[1]).join(" "), wide: true },
];
