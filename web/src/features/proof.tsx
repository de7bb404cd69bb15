import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { answered, api, type Schemas } from "@/shared/api/client";
import { reachQuery, verificationQuery } from "@/shared/api/queries";
import { money, percent } from "@/shared/format/numbers";
import { span } from "@/shared/format/time";
import { Button } from "@/shared/ui/Button";
import { Chip } from "@/shared/ui/Chip";
import { Age, Time } from "@/shared/ui/Figure";
import { Empty, Loaded, Panel } from "@/shared/ui/Panel";
import { Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";
import { useAct } from "./act";
import { placeOf } from "./record";

/** One line on how far the record is signed, witnessed and verified. */
export function ProofLine() {
  const { firm } = useScope();
  const reach = useQuery({ ...reachQuery(firm), enabled: firm !== "" });
  return (
    <Loaded query={reach} height={24}>
      {(found) => <Reached found={found} />}
    </Loaded>
  );
}

function Reached({ found }: { found: Schemas["Reach"] }) {
  return (
    <div className="grid gap-1">
      <p className="flex flex-wrap items-center gap-2">
        <Chip tone={found.checkpoint > 0 ? "accent" : "unknown"}>
          {found.checkpoint > 0 ? "signed" : "not signed yet"}
        </Chip>
        {found.checkpoint > 0 ? (
          <>
            Checkpoint {found.checkpoint} over {found.chains.length} chains,{" "}
            <Age at={found.made_at} seconds={found.age_s} />
          </>
        ) : (
          "No checkpoint is signed yet: one is made after every run."
        )}
        {found.checkpoints_ok ? null : <Chip tone="safety">the checkpoints do not hold</Chip>}
      </p>
      <p className="flex flex-wrap items-center gap-2">
        <Chip tone={found.witness_faults > 0 ? "safety" : found.witnessed_checkpoint > 0 ? "accent" : "unknown"}>
          {found.witness_faults > 0
            ? "a witness disagrees"
            : found.witnessed_checkpoint > 0
              ? "witnessed"
              : "not witnessed"}
        </Chip>
        {found.witnesses === 0
          ? "No witness outside is configured: a tail that was cut off could not be shown."
          : found.witness_faults > 0
            ? `${found.witness_faults} of ${found.witnesses} witnesses cannot be reached, or hold another past.`
            : found.witnessed_checkpoint > 0
              ? `Up to checkpoint ${found.witnessed_checkpoint}, ${span(found.witnessed_age_s)} ago.`
              : "No witness has seen a checkpoint yet."}
      </p>
    </div>
  );
}

/** How far the record is proved, chain by chain, and what the last verification found. */
export function Proof() {
  const { firm } = useScope();
  const reach = useQuery({ ...reachQuery(firm), enabled: firm !== "" });
  return (
    <div className="grid gap-4">
      <Verification />
      <Panel title="Chains">
        <Loaded
          query={reach}
          height={120}
          empty={{ when: (d) => d.chains.length === 0, why: "No chain is signed yet: that is done after every run." }}
        >
          {(found) => (
            <Table
              label="How far each chain is signed and witnessed"
              keyOf={(one) => one.chain_id}
              rows={found.chains}
              columns={[
                {
                  name: "Chain",
                  cell: (one) => (
                    <Link
                      to="/audit"
                      search={{ chain: one.chain_id }}
                      className="font-mono text-meta break-all text-accent hover:underline"
                    >
                      {one.chain_id}
                    </Link>
                  ),
                },
                { name: "Signed to", cell: (one) => money(one.signed_to), right: true },
                { name: "Witnessed to", cell: (one) => money(one.witnessed_to), right: true },
              ]}
            />
          )}
        </Loaded>
      </Panel>
    </div>
  );
}

function Verification() {
  const { firm } = useScope();
  const queries = useQueryClient();
  const query = useQuery({ ...verificationQuery(firm), enabled: firm !== "" });
  const start = useAct(
    (_: null, key) =>
      answered(
        api.POST("/api/v1/firms/{firm}/audit/verification", {
          params: { path: { firm }, header: { "Idempotency-Key": key } },
        }),
      ),
    () => void queries.invalidateQueries({ queryKey: verificationQuery(firm).queryKey }),
  );
  const job = query.data?.job ?? null;
  const works = job !== null && ["queued", "running", "cancelling"].includes(job.status);
  return (
    <Panel
      title="Verification"
      aside={
        <Button disabled={works || start.pending || query.isPending} onClick={() => start.run(null)}>
          {works ? "Verifying" : "Verify it now"}
        </Button>
      }
    >
      <div className="grid gap-3">
        <ProofLine />
        {start.said}
        <Loaded query={query} height={80}>
          {({ last }) => (
            <div className="grid gap-3">
              {works && job ? (
                <p role="status">
                  {job.status === "queued" ? "It waits for a worker" : `At work: ${job.stage || "reading the record"}`}
                  {job.progress === null ? "" : `, ${percent(job.progress, 0)}`}.{" "}
                  <Link to="/runs/jobs/$id" params={{ id: job.job_id }} className="text-accent underline">
                    The job
                  </Link>
                </p>
              ) : job?.status === "failed" ? (
                <p role="alert" className="text-warn">
                  The last verification did not come to an end: {job.error || "no reason was given"}. What is below is
                  older.
                </p>
              ) : null}
              {last === null ? (
                <Empty>
                  It was never verified from here. A verification reads every link, root and signature of the sealed
                  record.
                </Empty>
              ) : (
                <Verdict last={last} />
              )}
            </div>
          )}
        </Loaded>
      </div>
    </Panel>
  );
}

function Verdict({ last }: { last: Schemas["Verification"] }) {
  return (
    <div className="grid gap-2" role={last.ok ? undefined : "alert"}>
      <p className="flex flex-wrap items-center gap-2">
        <Chip tone={last.ok ? "accent" : "safety"}>{last.ok ? "it holds" : "it does not hold"}</Chip>
        {money(last.entries)} entries in {last.chains} chains,{" "}
        <span className={last.age_s > 86_400 ? "text-warn" : ""}>
          verified <Age at={last.checked_at} seconds={last.age_s} />
        </span>
      </p>
      {last.first_bad ? <Fault fault={last.first_bad} name="The first that was changed" /> : null}
      {last.gaps.length > 0 ? (
        <ul>
          {last.gaps.map((one) => (
            <li key={`${one.chain_id} ${one.seq} ${one.reason}`}>
              <Fault fault={one} name="Missing" />
            </li>
          ))}
        </ul>
      ) : null}
      <p className="text-muted">{last.limits}</p>
      <p className="text-muted">
        Checked <Time at={last.checked_at} seconds />.{" "}
        <Link to="/runs/jobs/$id" params={{ id: last.job_id }} className="text-accent underline">
          The job
        </Link>
      </p>
    </div>
  );
}

function Fault({ fault, name }: { fault: Schemas["Fault"]; name: string }) {
  const { chain_id, seq } = fault;
  return (
    <p className="text-safety">
      {name}:{" "}
      {chain_id !== null && seq !== null ? (
        <Link to="/audit/$" params={{ _splat: placeOf({ chain_id, seq }) }} className="break-all underline">
          {chain_id}, number {seq}
        </Link>
      ) : (
        (chain_id ?? "the record")
      )}
      : {fault.reason}
    </p>
  );
}
