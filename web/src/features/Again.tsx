import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useRef } from "react";
import { answered, api, newKey, type Schemas } from "@/shared/api/client";
import { Button } from "@/shared/ui/Button";
import { useScope } from "@/shell/scope";

type Job = Schemas["JobOut"];
type Kind = Schemas["JobKind"];
/** What is asked for as a job; everything else is asked for where it belongs. */
const ASKED: ReadonlySet<string> = new Set<Kind>(["run", "backtest", "regime", "scan", "report", "verify"]);

/** The same job with the same inputs once more: it comes to the same, or says what has changed. */
export function Again({ job }: { job: Job }) {
  const { firm, whyNot } = useScope();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const key = useRef(newKey());
  const again = useMutation({
    mutationFn: () =>
      answered(
        api.POST("/api/v1/firms/{firm}/jobs", {
          params: { path: { firm }, header: { "Idempotency-Key": key.current } },
          body: { kind: job.kind as Kind, request: job.request },
        }),
      ),
    onSuccess: async (made) => {
      key.current = newKey();
      await queries.invalidateQueries({ queryKey: ["jobs"] });
      void navigate({ to: "/runs/jobs/$id", params: { id: made.job_id } });
    },
    onError: () => {
      key.current = newKey();
    },
  });
  if (!ASKED.has(job.kind)) return null;
  const hidden = Object.keys(job.request).length === 0 && job.kind !== "verify" && job.kind !== "scan";
  const why = whyNot("run.start") || (hidden ? "Its inputs are about accounts that you may not see." : "");
  return (
    <>
      <Button why={why || undefined} disabled={again.isPending} onClick={() => again.mutate()}>
        {again.isPending ? "Asking" : "Run again with the same inputs"}
      </Button>
      {again.isError ? <span role="alert">{again.error.message}</span> : null}
    </>
  );
}
