import { useMutation, useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { Again } from "@/features/Again";
import { STATUS_TONES } from "@/features/tones";
import { answered, api } from "@/shared/api/client";
import { jobLogQuery, jobQuery } from "@/shared/api/queries";
import { percent } from "@/shared/format/numbers";
import { clock } from "@/shared/format/time";
import { usePrefs } from "@/shared/prefs";
import { Button } from "@/shared/ui/Button";
import { Chip } from "@/shared/ui/Chip";
import { Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { useScope } from "@/shell/scope";

export const Route = createFileRoute("/_desk/runs/jobs/$id")({ component: OneJob });

const OPEN = new Set(["queued", "running", "cancelling"]);
const AGAIN_MS = 2_000;

function OneJob() {
  const { id } = Route.useParams();
  const { zone } = usePrefs();
  const { firm, whyNot } = useScope();
  // said to be over by the live channel too; its log has no messages of its own
  const query = useQuery({
    ...jobQuery(firm, id),
    refetchInterval: ({ state }) => (state.data && !OPEN.has(state.data.status) ? false : AGAIN_MS),
  });
  const open = query.data === undefined || OPEN.has(query.data.status);
  const log = useQuery({ ...jobLogQuery(firm, id), refetchInterval: open ? AGAIN_MS : false });
  const cancel = useMutation({
    mutationFn: () =>
      answered(api.POST("/api/v1/firms/{firm}/jobs/{job_id}/cancel", { params: { path: { firm, job_id: id } } })),
    onSettled: () => void query.refetch(),
  });
  return (
    <Page
      title="Job"
      aside={
        <Link to="/runs" className="text-muted hover:text-fg">
          All runs
        </Link>
      }
    >
      <Loaded query={query} height={300}>
        {(job) => (
          <div className="grid gap-4">
            <Panel
              title={job.kind}
              aside={
                <span className="flex items-center gap-2">
                  <Chip tone={STATUS_TONES[job.status] ?? "unknown"}>{job.status}</Chip>
                  {OPEN.has(job.status) ? (
                    <Button
                      why={whyNot("run.cancel") || undefined}
                      disabled={cancel.isPending || job.status === "cancelling"}
                      command={`/cancel run id:${job.job_id}`}
                      onClick={() => cancel.mutate()}
                    >
                      Cancel
                    </Button>
                  ) : (
                    <Again job={job} />
                  )}
                </span>
              }
            >
              <div className="grid gap-2">
                {job.status === "queued" ? <p>It waits for a worker: one job of a firm at a time.</p> : null}
                {job.status === "running" ? (
                  <>
                    <p>
                      {job.stage} {job.progress === null ? "" : percent(job.progress, 0)}
                    </p>
                    <progress
                      aria-label="How far it is"
                      value={job.progress ?? undefined}
                      max={1}
                      className="h-2 w-full accent-(--accent)"
                    />
                  </>
                ) : null}
                {job.error ? <p className="text-safety">{job.error}</p> : null}
                {cancel.isError ? <p role="alert">{cancel.error.message}</p> : null}
                <p className="text-muted">
                  Asked <Time at={job.created_at} /> by {job.by}
                  {job.started_at ? (
                    <>
                      ; begun <Time at={job.started_at} />
                    </>
                  ) : null}
                  {job.finished_at ? (
                    <>
                      ; ended <Time at={job.finished_at} />
                    </>
                  ) : null}
                  ; attempt {job.attempt}.
                </p>
                {Object.keys(job.request).length > 0 ? (
                  <p className="font-mono text-meta break-all text-muted">{JSON.stringify(job.request)}</p>
                ) : null}
                {job.run_id ? (
                  <p>
                    Run{" "}
                    <Link to="/runs/$id" params={{ id: job.run_id }} className="text-accent underline">
                      {job.run_id}
                    </Link>
                  </p>
                ) : null}
              </div>
            </Panel>
            <Panel title="Log">
              <Loaded query={log} height={160} empty={{ when: (d) => d.length === 0, why: "It has said nothing yet." }}>
                {(lines) => (
                  <pre className="max-h-96 overflow-auto font-mono text-meta" tabIndex={0} role="log" aria-label="Log">
                    {lines.map((one) => (
                      <div key={one.line_no}>
                        <span className="text-muted">{clock(one.at, zone)}</span> {one.line}
                      </div>
                    ))}
                  </pre>
                )}
              </Loaded>
            </Panel>
          </div>
        )}
      </Loaded>
    </Page>
  );
}
