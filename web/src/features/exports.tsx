import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { answered, api, type Schemas } from "@/shared/api/client";
import { exportsQuery } from "@/shared/api/queries";
import { serverNow } from "@/shared/clock";
import { money, percent } from "@/shared/format/numbers";
import { Button } from "@/shared/ui/Button";
import { Chip, type Tone } from "@/shared/ui/Chip";
import { Facts } from "@/shared/ui/Facts";
import { SelectField, TextField } from "@/shared/ui/Field";
import { Time } from "@/shared/ui/Figure";
import { Empty, Loaded, Panel } from "@/shared/ui/Panel";
import { useScope } from "@/shell/scope";
import { Proven, useAct } from "./act";

type Export = Schemas["ExportOut"];
const TONES: Record<string, Tone> = { queued: "warn", running: "accent", done: "plain", failed: "safety" };

/** Bundles of the record for an auditor: asked for, made as a job, fetched with their checksum. */
export function Exports() {
  const { firm, whyNot } = useScope();
  const why = whyNot("audit.export");
  if (why) {
    return (
      <Panel title="Exports">
        <Empty>{why} Bundles for auditors are made by an administrator of the whole firm.</Empty>
      </Panel>
    );
  }
  return (
    <div className="grid gap-4">
      <Ask firm={firm} />
      <Panel title="Bundles">
        <Proven>
          <Bundles firm={firm} />
        </Proven>
      </Panel>
    </div>
  );
}

function Ask({ firm }: { firm: string }) {
  const { ids } = useScope();
  const queries = useQueryClient();
  const [account, setAccount] = useState("");
  const [run, setRun] = useState("");
  const [first, setFirst] = useState("");
  const [last, setLast] = useState("");
  const ask = useAct(
    (body: Schemas["ExportIn"], key) =>
      answered(
        api.POST("/api/v1/firms/{firm}/audit/exports", {
          params: { path: { firm }, header: { "Idempotency-Key": key } },
          body,
        }),
      ),
    () => void queries.invalidateQueries({ queryKey: exportsQuery(firm).queryKey }),
  );
  const reversed = first !== "" && last !== "" && first > last;
  return (
    <Panel title="Ask for a bundle">
      <form
        className="grid gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          ask.run({
            ...(account ? { account: `${firm}/${account}` } : {}),
            ...(run.trim() ? { run_id: run.trim() } : {}),
            ...(first ? { first } : {}),
            ...(last ? { last } : {}),
          });
        }}
      >
        <p className="text-muted">
          The entries with the proof that they are in the signed record, and a program that checks them with nothing of
          ours. What is left empty is not narrowed.
        </p>
        <div className="grid gap-3 tablet:grid-cols-4">
          <SelectField
            label="Account"
            value={account}
            onValue={setAccount}
            of={[["", "the whole firm"], ...ids.map((one) => [one, one] as const)]}
          />
          <TextField label="Run" value={run} onValue={setRun} spellCheck={false} autoComplete="off" />
          <TextField label="First day (UTC)" type="date" value={first} onValue={setFirst} />
          <TextField label="Last day (UTC)" type="date" value={last} onValue={setLast} />
        </div>
        {reversed ? <p role="alert">The last day is before the first.</p> : null}
        {ask.said}
        {ask.data ? (
          <p role="status">
            It is asked for: job{" "}
            <Link to="/runs/jobs/$id" params={{ id: ask.data.job.job_id }} className="text-accent underline">
              {ask.data.job.job_id}
            </Link>
            . It is in the record before it can be fetched.
          </p>
        ) : null}
        <div>
          <Button type="submit" kind="primary" disabled={reversed || ask.pending || ask.proves}>
            Ask for it
          </Button>
        </div>
      </form>
    </Panel>
  );
}

function Bundles({ firm }: { firm: string }) {
  const query = useQuery(exportsQuery(firm));
  return (
    <Loaded query={query} height={80} empty={{ when: (d) => d.items.length === 0, why: "None was asked for yet." }}>
      {(data) => (
        <ul className="grid gap-4">
          {data.items.map((one) => (
            <Bundle key={one.job.job_id} firm={firm} made={one} />
          ))}
        </ul>
      )}
    </Loaded>
  );
}

function Bundle({ firm, made }: { firm: string; made: Export }) {
  const { job } = made;
  const over = made.expires_at !== null && new Date(made.expires_at).getTime() < serverNow();
  const ready = job.status === "done" && made.sha256 !== null && !over;
  const file = `/api/v1/firms/${encodeURIComponent(firm)}/audit/exports/${encodeURIComponent(job.job_id)}/download`;
  return (
    <li className="grid gap-2 border-b border-line pb-3 last:border-0 last:pb-0">
      <div className="flex flex-wrap items-center gap-2">
        <Chip tone={TONES[job.status] ?? "unknown"}>{ready ? "ready" : over ? "over" : job.status}</Chip>
        <span className="mr-auto min-w-0">
          {wordsOf(job.request)}{" "}
          <span className="text-muted">
            asked <Time at={job.created_at} /> by {job.by}
          </span>
        </span>
        {ready ? (
          <a
            href={file}
            download
            className="inline-flex h-8 items-center rounded-control border border-line bg-raised px-3 font-medium max-desk:h-11"
          >
            Download
          </a>
        ) : null}
      </div>
      {job.status === "running" || job.status === "queued" ? (
        <p role="status" className="text-muted">
          {job.status === "queued" ? "It waits for a worker" : job.stage || "At work"}
          {job.progress === null ? "" : `, ${percent(job.progress, 0)}`}
        </p>
      ) : null}
      {job.error ? <p className="text-warn">{job.error}</p> : null}
      {made.sha256 !== null ? (
        <Facts
          of={[
            ["Entries", `${money(made.entries)}, ${money(made.covered)} under a signed checkpoint`],
            ["Size", `${money(made.bytes)} bytes`],
            [
              "sha256",
              <code key="sha" className="break-all">
                {made.sha256}
              </code>,
            ],
            [
              "In the record",
              <code key="digest" className="break-all">
                {made.digest}
              </code>,
            ],
            ["Kept until", <Time key="until" at={made.expires_at} />],
          ]}
        />
      ) : null}
    </li>
  );
}

/** Which part of the record a bundle is of. */
export function wordsOf(request: Record<string, unknown>): string {
  const said = [
    typeof request.account === "string" ? request.account : "The whole firm",
    typeof request.run_id === "string" ? `run ${request.run_id}` : "",
    typeof request.first === "string" ? `from ${request.first}` : "",
    typeof request.last === "string" ? `to ${request.last}` : "",
  ];
  return said.filter(Boolean).join(", ");
}
