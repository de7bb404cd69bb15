import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, Link, useNavigate } from "@tanstack/react-router";
import { useRef, useState } from "react";
import { PreChecks } from "@/features/precheck";
import { PROPOSAL_TONES } from "@/features/tones";
import { answered, api, newKey } from "@/shared/api/client";
import { proposalQuery } from "@/shared/api/queries";
import { percent } from "@/shared/format/numbers";
import { Button } from "@/shared/ui/Button";
import { Chip } from "@/shared/ui/Chip";
import { Percent, Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";

export const Route = createFileRoute("/_desk/basket/$id")({ component: OneProposal });

function OneProposal() {
  const { id } = Route.useParams();
  const { firm, whyNot } = useScope();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const query = useQuery(proposalQuery(firm, id));
  const [why, setWhy] = useState("");
  const key = useRef(newKey());
  const at = { path: { firm, proposal_id: id } };
  const header = { "If-Match": query.data?.etag ?? "", "Idempotency-Key": key.current };
  const settled = () => {
    key.current = newKey();
    void queries.invalidateQueries({ queryKey: ["proposals"] });
  };
  const check = useMutation({
    mutationFn: () => answered(api.POST("/api/v1/firms/{firm}/proposals/{proposal_id}/precheck", { params: at })),
  });
  const submit = useMutation({
    mutationFn: () =>
      answered(api.POST("/api/v1/firms/{firm}/proposals/{proposal_id}/submit", { params: { ...at, header } })),
    onSuccess: ({ job }) => void navigate({ to: "/runs/jobs/$id", params: { id: job.job_id } }),
    onSettled: settled,
  });
  const withdraw = useMutation({
    mutationFn: () =>
      answered(
        api.POST("/api/v1/firms/{firm}/proposals/{proposal_id}/withdraw", {
          params: { ...at, header },
          body: { reason: why.trim() },
        }),
      ),
    onSettled: settled,
  });
  const error = check.error ?? submit.error ?? withdraw.error;
  return (
    <Page
      title="Proposal"
      aside={
        <Link to="/basket" className="text-muted hover:text-fg">
          Baskets
        </Link>
      }
    >
      <Loaded query={query} height={400}>
        {({ data }) => (
          <div className="grid gap-4">
            <Panel title={data.name} aside={<Chip tone={PROPOSAL_TONES[data.status] ?? "unknown"}>{data.status}</Chip>}>
              <div className="grid gap-3">
                <p className="text-muted">
                  By {data.mine ? "you" : data.maker}, <Time at={data.changed_at} />, for {data.accounts.join(", ")},
                  gross {percent(data.gross, 1)}, net {percent(data.net, 1)}.{" "}
                  {data.complete
                    ? "Names without a weight are to be sold."
                    : "Names without a weight stay as they are."}
                </p>
                {data.note ? <p>{data.note}</p> : null}
                {data.why ? <p className="text-warn">{data.why}</p> : null}
                {data.job_id ? (
                  <p>
                    <Link to="/runs/jobs/$id" params={{ id: data.job_id }} className="text-accent underline">
                      Its job
                    </Link>
                    {data.run_id ? (
                      <>
                        {" "}
                        ·{" "}
                        <Link to="/runs/$id" params={{ id: data.run_id }} className="text-accent underline">
                          its run
                        </Link>
                      </>
                    ) : null}
                  </p>
                ) : null}
                <Table
                  label="Weights"
                  keyOf={([symbol]) => symbol}
                  rows={Object.entries(data.weights)}
                  dense
                  columns={[
                    { name: "Symbol", cell: ([symbol]) => symbol },
                    {
                      name: "Weight",
                      cell: ([, weight]) => <Percent value={weight as string} />,
                      right: true,
                      width: "120px",
                    },
                  ]}
                />
                {data.status === "draft" ? (
                  <div className="flex flex-wrap items-end gap-2">
                    <label className="mr-auto grid gap-1">
                      <span className="text-meta text-muted">Why it is no longer wanted</span>
                      <span className="flex gap-2">
                        <input
                          value={why}
                          maxLength={500}
                          onChange={(event) => setWhy(event.target.value)}
                          className="h-8 rounded-control border border-line bg-raised px-2 max-desk:h-11"
                        />
                        <Button disabled={withdraw.isPending} onClick={() => withdraw.mutate()}>
                          Withdraw
                        </Button>
                      </span>
                    </label>
                    <Button
                      why={whyNot("basket.propose") || undefined}
                      disabled={check.isPending}
                      onClick={() => check.mutate()}
                    >
                      {check.isPending ? "The guards look at it" : "Pre-check"}
                    </Button>
                    <Button
                      kind="primary"
                      why={whyNot("basket.submit") || undefined}
                      disabled={submit.isPending}
                      onClick={() => submit.mutate()}
                    >
                      Submit as a run
                    </Button>
                  </div>
                ) : null}
                {error ? <p role="alert">{error.message}</p> : null}
              </div>
            </Panel>
            {check.data ? (
              <Panel title="What the guards would leave of it now">
                <PreChecks found={check.data.accounts} />
              </Panel>
            ) : null}
          </div>
        )}
      </Loaded>
    </Page>
  );
}
