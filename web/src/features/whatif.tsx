import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type FormEvent, type ReactNode, useState } from "react";
import { RuleLinks } from "@/features/decisions";
import { answered, api, newKey, type Schemas } from "@/shared/api/client";
import { artifactQuery } from "@/shared/api/queries";
import { useNow } from "@/shared/clock";
import { percent } from "@/shared/format/numbers";
import { Button } from "@/shared/ui/Button";
import { Chip } from "@/shared/ui/Chip";
import { Percent, Ticking, Time } from "@/shared/ui/Figure";
import { Loaded } from "@/shared/ui/Panel";
import { type Column, Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";

type Pair<T> = { old: T | null; new: T | null };
type Target = Pair<{ target_w: number; step_qty: number }>;
type Changes = {
  outcome?: Pair<string>;
  trading_state?: Pair<string>;
  binding_rules?: Pair<string[]>;
  targets?: Record<string, Target>;
};
type Row = { as_of: string; changes: Changes };
type Account = {
  account: string;
  decisions: number;
  differ: number;
  counts: Record<"outcome" | "trading_state" | "binding_rules" | "targets", number>;
  rules: Record<string, { old: number; new: number; differ: number }>;
  return: Pair<number>;
  max_drawdown: Pair<number>;
  rows: Row[];
};
type Replayed = { first: string; last: string; days: number; accounts: Account[] };

/** Which decisions are replayed: the last days, or those between two. */
type Stretch = { days?: number; first_day?: string; last_day?: string; accounts: string[] };

const AT_ONCE = [20, 60, 120];
const AS_JOB = [60, 250, 1_000, 2_500];

/** What a text would have decided otherwise: within the answer, so for a few months at most. */
export function TryText({ document, why }: { document: string; why?: string | undefined }) {
  const { firm } = useScope();
  const [begun, setBegun] = useState(0);
  const tried = useMutation({
    mutationFn: ({ stretch, text }: { stretch: Stretch; text: string }) =>
      answered(
        api.POST("/api/v1/firms/{firm}/configs/whatif", {
          params: { path: { firm } },
          body: { source: "bundled", document: text, ...stretch },
        }),
      ),
    onMutate: () => setBegun(Date.now()),
  });
  return (
    <div className="grid gap-3">
      <Choose
        of={AT_ONCE}
        name="Replay"
        why={why}
        busy={tried.isPending}
        onChoose={(stretch) => tried.mutate({ stretch, text: document })}
        more="Longer stretches run as a job, once the text is kept as a draft."
      />
      {tried.isPending ? <Waiting since={begun} /> : null}
      {tried.isError ? <p role="alert">{tried.error.message}</p> : null}
      {tried.data ? (
        <>
          {tried.variables.text !== document ? (
            <p role="status" className="text-warn">
              The text has changed since: this is what it would have done before.
            </p>
          ) : null}
          <Answer found={tried.data as unknown as Replayed} />
        </>
      ) : null}
    </div>
  );
}

const OPEN = new Set(["queued", "running"]);

/** Replays of a version that is kept: jobs, followed by the live channel. */
export function TryVersion({ version, why }: { version: number; why?: string | undefined }) {
  const { firm } = useScope();
  const queries = useQueryClient();
  const jobs = useQuery({
    queryKey: ["jobs", firm, "whatif"],
    queryFn: () =>
      answered(
        api.GET("/api/v1/firms/{firm}/jobs", { params: { path: { firm }, query: { kind: "whatif", limit: 200 } } }),
      ),
  });
  const start = useMutation({
    mutationFn: (stretch: Stretch) =>
      answered(
        api.POST("/api/v1/firms/{firm}/configs/{version}/whatif", {
          params: { path: { firm, version }, header: { "Idempotency-Key": newKey() } },
          body: { source: "bundled", ...stretch },
        }),
      ),
    onSettled: () => void queries.invalidateQueries({ queryKey: ["jobs"] }),
  });
  return (
    <div className="grid gap-3">
      <Choose
        of={AS_JOB}
        name="Replay as a job"
        why={why}
        busy={start.isPending}
        onChoose={(stretch) => start.mutate(stretch)}
        more="It goes on without this page."
      />
      {start.isError ? <p role="alert">{start.error.message}</p> : null}
      <Loaded query={jobs} height={60}>
        {(found) => {
          const own = found.items.filter((one) => one.request.version === version);
          return own.length === 0 ? (
            <p className="text-muted">No replay of this version yet.</p>
          ) : (
            <ul className="grid gap-3">
              {own.slice(0, 5).map((one, n) => (
                <li key={one.job_id}>
                  <Replay job={one} open={n === 0} />
                </li>
              ))}
            </ul>
          );
        }}
      </Loaded>
    </div>
  );
}

function Replay({ job, open }: { job: Schemas["JobOut"]; open: boolean }) {
  const { firm } = useScope();
  const queries = useQueryClient();
  const [shown, setShown] = useState(open);
  const file = `runs/${job.run_id}/firms/${firm}/whatif.json`;
  const found = useQuery({ ...artifactQuery(firm, file), enabled: shown && job.status === "done" });
  const cancel = useMutation({
    mutationFn: () =>
      answered(
        api.POST("/api/v1/firms/{firm}/jobs/{job_id}/cancel", { params: { path: { firm, job_id: job.job_id } } }),
      ),
    onSettled: () => void queries.invalidateQueries({ queryKey: ["jobs"] }),
  });
  const asked = job.request as { days?: number | null; first?: string | null; last?: string | null };
  return (
    <div className="grid gap-2">
      <p className="flex flex-wrap items-center gap-2">
        <Chip tone={job.status === "failed" ? "warn" : OPEN.has(job.status) ? "accent" : "plain"}>{job.status}</Chip>
        <Link to="/runs/jobs/$id" params={{ id: job.job_id }} className="text-accent hover:underline">
          {job.job_id}
        </Link>
        <span className="text-muted">
          {asked.first ? `${asked.first} to ${asked.last ?? "the end"}` : `${asked.days ?? 60} decision days`}, asked{" "}
          <Time at={job.created_at} seconds />
        </span>
        {OPEN.has(job.status) ? (
          <Button command={`/cancel run id:${job.job_id}`} disabled={cancel.isPending} onClick={() => cancel.mutate()}>
            Cancel
          </Button>
        ) : null}
        {job.status === "done" && !open ? (
          <Button kind="quiet" aria-expanded={shown} onClick={() => setShown(!shown)}>
            {shown ? "Less" : "What it found"}
          </Button>
        ) : null}
      </p>
      {OPEN.has(job.status) ? (
        <p className="grid gap-1">
          <span className="text-muted">
            {job.stage || "waits for its turn"} {job.progress === null ? "" : percent(job.progress, 0)}
          </span>
          <progress
            aria-label="How far the replay is"
            {...(job.progress === null ? {} : { value: job.progress })}
            max={1}
            className="h-2 w-full accent-(--accent)"
          />
        </p>
      ) : null}
      {job.error ? <p className="text-safety">{job.error}</p> : null}
      {cancel.isError ? <p role="alert">{cancel.error.message}</p> : null}
      {shown && job.status === "done" ? (
        <Loaded query={found} height={120}>
          {(data) =>
            data.json_value === null ? (
              <Link to="/artifacts/$" params={{ _splat: file }} className="text-accent underline">
                What it found is too long for here: its file
              </Link>
            ) : (
              <Answer found={data.json_value as unknown as Replayed} />
            )
          }
        </Loaded>
      ) : null}
    </div>
  );
}

const INPUT = "h-9 rounded-control border border-line bg-raised px-2 max-desk:h-11";

function Choose(props: {
  of: readonly number[];
  name: string;
  why: string | undefined;
  busy: boolean;
  onChoose: (stretch: Stretch) => void;
  more: string;
}) {
  const { firm, ids } = useScope();
  const [days, setDays] = useState(String(props.of[0]));
  const [account, setAccount] = useState("");
  const [first, setFirst] = useState("");
  const [last, setLast] = useState("");
  const between = days === "between";
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const accounts = account ? [`${firm}/${account}`] : [];
    props.onChoose(between ? { first_day: first, last_day: last, accounts } : { days: Number(days), accounts });
  };
  return (
    <form className="flex flex-wrap items-end gap-2" onSubmit={submit}>
      <Labelled name="Decisions">
        <select value={days} onChange={(event) => setDays(event.target.value)} className={INPUT}>
          {props.of.map((one) => (
            <option key={one} value={one}>
              The last {one.toLocaleString("en-US")} days
            </option>
          ))}
          <option value="between">Between two days</option>
        </select>
      </Labelled>
      {between ? (
        <>
          <Labelled name="From">
            <input type="date" required value={first} onChange={(e) => setFirst(e.target.value)} className={INPUT} />
          </Labelled>
          <Labelled name="To">
            <input
              type="date"
              required
              min={first}
              value={last}
              onChange={(e) => setLast(e.target.value)}
              className={INPUT}
            />
          </Labelled>
        </>
      ) : null}
      <Labelled name="Account">
        <select value={account} onChange={(event) => setAccount(event.target.value)} className={INPUT}>
          <option value="">All</option>
          {ids.map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      </Labelled>
      <Button type="submit" why={props.why} disabled={props.busy} className="h-9">
        {props.name}
      </Button>
      <span className="self-center text-meta text-muted">{props.more}</span>
    </form>
  );
}

function Labelled({ name, children }: { name: string; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: its control is its child
    <label className="grid gap-1">
      <span className="text-meta text-muted">{name}</span>
      {children}
    </label>
  );
}

function Waiting({ since }: { since: number }) {
  const now = useNow(Date.now);
  return (
    <p role="status" className="text-muted">
      The days are decided again under both, <Ticking>{Math.max(0, Math.round((now - since) / 1_000))} s</Ticking>.
    </p>
  );
}

function Turned({ pair }: { pair: Pair<number> }) {
  return (
    <>
      <Percent value={pair.old} /> → <Percent value={pair.new} />
    </>
  );
}

const COLUMNS: readonly Column<Account>[] = [
  { name: "Account", cell: (one) => one.account.split("/")[1] },
  { name: "Decisions", cell: (one) => one.decisions, right: true },
  { name: "Different", cell: (one) => <strong>{one.differ}</strong>, right: true },
  { name: "Outcome", cell: (one) => one.counts.outcome, right: true, wide: true },
  { name: "Targets", cell: (one) => one.counts.targets, right: true, wide: true },
  { name: "Return", cell: (one) => <Turned pair={one.return} />, right: true },
  { name: "Deepest drawdown", cell: (one) => <Turned pair={one.max_drawdown} />, right: true },
  {
    name: "Bound otherwise",
    cell: (one) =>
      Object.entries(one.rules)
        .map(([rule, n]) => `${rule} ${n.old} → ${n.new}`)
        .join(", ") || "none",
  },
];

const ROWS: readonly Column<Row>[] = [
  { name: "Decided", cell: (one) => <Time at={one.as_of} /> },
  { name: "Outcome", cell: (one) => <Words pair={one.changes.outcome} /> },
  { name: "State", cell: (one) => <Words pair={one.changes.trading_state} />, wide: true },
  {
    name: "Binding rules",
    cell: ({ changes: { binding_rules: pair } }) =>
      pair ? (
        <span className="inline-flex flex-wrap gap-1">
          <Rules of={pair.old} /> → <Rules of={pair.new} />
        </span>
      ) : (
        <Same />
      ),
  },
  {
    name: "Weights",
    cell: (one) => {
      const moved = Object.entries(one.changes.targets ?? {});
      if (moved.length === 0) return <Same />;
      const [symbol, pair] = moved[0] as [string, Target];
      return (
        <span className="whitespace-nowrap">
          {symbol} {percent(pair.old?.target_w ?? 0)} → {percent(pair.new?.target_w ?? 0)}
          {moved.length > 1 ? <span className="text-muted"> and {moved.length - 1} more</span> : null}
        </span>
      );
    },
  },
];

function Rules({ of }: { of: string[] | null }) {
  return of?.length ? <RuleLinks rules={of} /> : <>none</>;
}

function Same() {
  return <span className="text-muted">the same</span>;
}

function Words({ pair }: { pair: Pair<string> | undefined }) {
  return pair ? (
    <span className="whitespace-nowrap">
      {pair.old ?? "none"} → {pair.new ?? "none"}
    </span>
  ) : (
    <Same />
  );
}

/** What would have been decided otherwise, account by account. */
function Answer({ found }: { found: Replayed }) {
  return (
    <section aria-label="What would have been decided otherwise" className="grid gap-3">
      <p>
        {found.days} decision days, <Time at={found.first} /> to <Time at={found.last} />, replayed as dry runs that
        start with fresh books.
      </p>
      <Table
        label="What would have differed, by account"
        columns={COLUMNS}
        rows={found.accounts}
        keyOf={(one) => one.account}
        dense
      />
      {found.accounts
        .filter((one) => one.rows.length > 0)
        .map((one) => (
          <details key={one.account}>
            <summary className="cursor-pointer text-muted max-desk:py-3">
              {one.account.split("/")[1]}:{" "}
              {one.rows.length < one.differ
                ? `the first ${one.rows.length} of ${one.differ} decisions that differ`
                : `${one.differ} decisions that differ`}
            </summary>
            <Table
              label={`Decisions of ${one.account} that differ`}
              columns={ROWS}
              rows={one.rows}
              keyOf={(row) => row.as_of}
              dense
            />
          </details>
        ))}
    </section>
  );
}
