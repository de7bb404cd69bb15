import { type UseQueryResult, useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { useState } from "react";
import { Acknowledge, AcknowledgedBy } from "@/features/breaches";
import { DecisionsTable } from "@/features/decisions";
import { EquityPanel } from "@/features/EquityPanel";
import { OfLimit } from "@/features/OfLimit";
import { RuleBar } from "@/features/RuleBar";
import { RegimeMark, regimeName } from "@/features/regime";
import { staleness } from "@/features/rules";
import { ApiProblem, type Schemas } from "@/shared/api/client";
import {
  accountsQuery,
  approvalsQuery,
  boardQuery,
  breachesQuery,
  decisionsQuery,
  jobsQuery,
  liveQuery,
  regimesQuery,
} from "@/shared/api/queries";
import { percent } from "@/shared/format/numbers";
import { Button } from "@/shared/ui/Button";
import { Chip, ModeChip, StateChip } from "@/shared/ui/Chip";
import { cx } from "@/shared/ui/cx";
import { Nearby } from "@/shared/ui/Drawing";
import { Age, Money, Percent, Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Empty, Failed, Kept, Loaded, Panel, useFailure } from "@/shared/ui/Panel";
import { askAhead, useScope } from "@/shell/scope";

export const Route = createFileRoute("/_desk/overview")({
  loader: ({ context, location }) =>
    askAhead(context.queries, location.search, (firm, account) => [
      boardQuery(firm, account),
      breachesQuery(firm),
      jobsQuery(firm),
      regimesQuery(firm),
    ]),
  codeSplitGroupings: [["component", "loader"]],
  component: Overview,
});

function Overview() {
  const { accounts, me } = useScope();
  if (me.firms.length === 0 || accounts?.length === 0) {
    return (
      <Page title="Overview">
        <Empty>No accounts assigned to you. An Admin can add you to a firm.</Empty>
      </Page>
    );
  }
  return (
    <Page title="Overview">
      <div className="grid gap-4">
        <Accounts />
        <div className="grid items-start gap-4 desk:grid-cols-[minmax(0,2fr)_minmax(0,1fr)]">
          <div className="contents desk:grid desk:gap-4">
            <EquityPanel className="max-desk:order-3" />
            <Closest className="max-desk:order-2" />
          </div>
          <div className="contents desk:grid desk:gap-4">
            <NeedsYou className="max-desk:order-1" />
            <RegimeNow className="max-desk:order-4" />
          </div>
        </div>
        <Nearby className="min-h-96">
          <LastDecisions />
        </Nearby>
      </div>
    </Page>
  );
}

/** Of each account mode, state, money, and what it is closest to. On a phone the chosen one comes first and whole, the
 * others in one line each, so that what needs somebody stays above the fold. */
function Accounts() {
  const { firm, accounts, account, ids } = useScope();
  const [all, setAll] = useState(false);
  const live = useQuery({ ...liveQuery(firm), enabled: firm !== "" });
  const own = useQuery({ ...accountsQuery(firm), enabled: firm !== "" });
  const failure = useFailure(own);
  if (accounts === undefined && failure) {
    return (
      <Panel title="Accounts">
        <Failed error={failure} retry={own.refetch} trying={own.isFetching} />
      </Panel>
    );
  }
  const halts = new Map(live.data?.accounts.map((row) => [row.account, row.halt]));
  const calm = (accounts ?? []).filter(
    (one) => one.account_id !== account && one.trading_state === "NORMAL" && halts.get(one.account)?.level === 0,
  );
  const others = (accounts?.length ?? 1) - 1;
  const folded = new Set(all ? [] : calm.slice(Math.max(0, OTHERS - (others - calm.length))).map((one) => one.account));
  return (
    <section aria-label="Accounts">
      <Kept query={own}>
        <div className="grid gap-2 tablet:grid-cols-2 wide:grid-cols-3">
          {(accounts ?? ids.map(() => undefined)).map((one, n) => {
            if (one === undefined)
              return (
                <div
                  key={ids[n]}
                  className={cx(
                    "h-[112px] rounded-panel border border-line desk:h-[104px]",
                    ids[n] === account ? "max-tablet:order-first max-tablet:h-[156px]" : "max-tablet:h-11",
                  )}
                />
              );
            const halt = halts.get(one.account);
            const chosen = one.account_id === account;
            const worst = [...one.loss_limits].sort((a, b) => (b.used ?? -1) - (a.used ?? -1))[0];
            return (
              <Link
                key={one.account}
                to="/overview"
                search={(before) => ({ ...before, account: one.account_id })}
                className={cx(
                  "rounded-panel border bg-surface px-4 hover:border-muted tablet:block tablet:min-h-[112px] tablet:py-3 desk:min-h-[104px]",
                  chosen
                    ? "min-h-[156px] border-accent py-3 max-tablet:order-first"
                    : "flex min-h-11 flex-wrap items-center gap-x-3 border-line py-1",
                  folded.has(one.account) && "max-tablet:hidden",
                )}
              >
                <span className={cx("flex flex-wrap items-center gap-2", !chosen && "max-tablet:flex-1")}>
                  <span className="mr-auto font-semibold">{one.account_id}</span>
                  <ModeChip mode={one.mode} />
                  <StateChip state={one.trading_state} />
                  {halt?.level === null ? (
                    <Chip tone="unknown">HALT UNKNOWN</Chip>
                  ) : halt && halt.level > 0 ? (
                    <Chip tone="safety">HALTED K{halt.level}</Chip>
                  ) : null}
                </span>
                <span className={cx("flex flex-wrap items-baseline gap-x-4", chosen ? "mt-2" : "tablet:mt-2")}>
                  <span className={cx("font-semibold tablet:text-section", chosen && "text-section")}>
                    <Money value={one.equity} currency={one.currency} />
                  </span>
                  <span className={cx(!chosen && "max-tablet:hidden")}>
                    <Percent value={one.day_return} sign />
                  </span>
                  <span className={cx("text-muted", !chosen && "max-tablet:hidden")}>
                    drawdown <Percent value={one.drawdown} />
                  </span>
                </span>
                {chosen ? <Worst account={one.account_id} /> : null}
                <span className={cx("mt-1 block text-meta text-muted", !chosen && "max-tablet:hidden")}>
                  {worst?.used != null
                    ? `${worst.title}: ${percent(Math.max(0, worst.used), 0)} of its limit`
                    : one.last_decision === null
                      ? "No decision yet"
                      : "No loss limit can be measured"}
                  {one.last_decision ? (
                    <>
                      {" "}
                      · decided <Age at={one.last_decision.as_of} seconds={one.last_decision.age_s} />
                    </>
                  ) : null}
                </span>
              </Link>
            );
          })}
          {folded.size > 0 ? (
            <Button kind="quiet" className="tablet:hidden" onClick={() => setAll(true)}>
              {folded.size} more, all calm
            </Button>
          ) : null}
        </div>
      </Kept>
    </section>
  );
}

/** What the chosen account is closest to, where a phone has no room for the panel above the fold. */
function Worst({ account }: { account: string }) {
  const { firm } = useScope();
  const { data: board } = useQuery(boardQuery(firm, account));
  const row = closest(board?.rows ?? [])[0];
  return (
    <span className="mt-2 grid min-h-8 grid-cols-[minmax(0,1fr)_auto] items-center gap-x-3 gap-y-1 tablet:hidden">
      {row ? (
        <>
          <span className="truncate">
            <span className="text-muted">{row.rule_id}</span> {row.title}
          </span>
          <OfLimit row={row} />
          <span className="col-span-2">
            <RuleBar row={row} />
          </span>
        </>
      ) : null}
    </span>
  );
}

const OTHERS = 3; //  accounts beside the chosen one that a phone shows at first; what is not calm is always shown

function Closest({ className }: { className: string }) {
  const { firm, account, accounts } = useScope();
  const query = useQuery({ ...boardQuery(firm, account ?? ""), enabled: account !== undefined });
  const mode = accounts?.find((one) => one.account_id === account)?.mode;
  return (
    <Panel title="Closest to a limit" className={className} aside={<All to="/constraints" />}>
      <Loaded
        query={query}
        height={200}
        empty={{
          when: (data) => data.rows.length === 0,
          why: "No snapshot yet. Guards fail closed: new risk is blocked.",
        }}
      >
        {(board) => (
          <>
            {staleness(mode, board.as_of, board.age_s) ? (
              <p role="alert" className="pb-2 text-safety">
                {staleness(mode, board.as_of, board.age_s)}
              </p>
            ) : null}
            <ul className="grid gap-2">
              {closest(board.rows).map((row) => (
                <li key={row.rule_id}>
                  <Link
                    to="/constraints/$rule"
                    params={{ rule: row.rule_id }}
                    className="grid grid-cols-[minmax(0,1fr)_auto] items-center gap-x-3 rounded-control hover:bg-raised/50 max-desk:min-h-11 tablet:grid-cols-[minmax(0,1.2fr)_minmax(80px,1fr)_150px]"
                  >
                    <span className="truncate">
                      <span className="text-muted">{row.rule_id}</span> {row.title}
                    </span>
                    <span className="max-tablet:order-last max-tablet:col-span-2">
                      <RuleBar row={row} />
                    </span>
                    <span className="text-right">
                      <OfLimit row={row} />
                    </span>
                  </Link>
                </li>
              ))}
            </ul>
          </>
        )}
      </Loaded>
    </Panel>
  );
}

/** What locks or is not known first, then by how much of its limit is used. */
function closest(rows: readonly Schemas["ConstraintRow"][]): Schemas["ConstraintRow"][] {
  const weight = (row: Schemas["ConstraintRow"]) =>
    row.holds ? 3_000 : row.state === "unknown" ? 2_000 : (row.used ?? 0);
  return rows
    .filter((row) => row.holds || row.state === "unknown" || (row.used !== null && row.guard > 1 && !row.at_least))
    .sort((a, b) => weight(b) - weight(a))
    .slice(0, 5);
}

function NeedsYou({ className }: { className: string }) {
  const { firm } = useScope();
  const [all, setAll] = useState(false);
  const breaches = useQuery({ ...breachesQuery(firm), enabled: firm !== "" });
  const approvals = useQuery({ ...approvalsQuery(firm), enabled: firm !== "" });
  const jobs = useQuery({ ...jobsQuery(firm), enabled: firm !== "" });
  const waiting = approvals.data?.filter((one) => one.status === "requested") ?? [];
  const failed = jobs.data?.items.filter((one) => one.status === "failed").slice(0, 3) ?? [];
  const broken = breaches.data ?? [];
  const more = broken.slice(BREACHES).filter((one) => one.acknowledged === null).length;
  const breachesFailure = useFailure(breaches);
  const jobsFailure = useFailure(jobs);
  const unread = Number(breachesFailure !== null) + Number(jobsFailure !== null);
  const known = (!breaches.isPending && !jobs.isPending) || unread > 0;
  const nothing = waiting.length + failed.length + broken.length + unread === 0;
  const rows = unread + Math.min(waiting.length, 4) + Math.min(broken.length, BREACHES) + failed.length;
  return (
    <Panel title="Needs you" className={className} aside={<All to="/approvals" />}>
      <div className="tablet:min-h-30 desk:h-58 desk:overflow-y-auto">
        <Loaded query={approvals} height={120}>
          {() =>
            !known ? (
              <div className="h-30" />
            ) : nothing ? (
              <Empty>Nothing waits for you.</Empty>
            ) : (
              <ul
                className={cx(
                  "grid gap-2",
                  !all && rows > 2 && "max-tablet:[&>li:nth-child(n+3):not(:last-child)]:hidden",
                )}
              >
                {breachesFailure ? <Unread query={breaches} failure={breachesFailure} /> : null}
                {jobsFailure ? <Unread query={jobs} failure={jobsFailure} /> : null}
                {waiting.slice(0, 4).map((one) => (
                  <li key={one.request_id}>
                    <Link
                      to="/approvals/$id"
                      params={{ id: one.request_id }}
                      className="block rounded-control hover:bg-raised/50"
                    >
                      <span className="text-warn">{one.kind} waits</span> · {one.account || firm}
                      <br />
                      <span className="text-meta text-muted">
                        until <Time at={one.expires_at} />
                      </span>
                    </Link>
                  </li>
                ))}
                {broken.slice(0, BREACHES).map((one) => (
                  <BreachRow key={one.place.event_id} row={one} />
                ))}
                {more > 0 ? (
                  <li>
                    <Link
                      to="/audit"
                      search={{ tab: "registers", register: "breaches" }}
                      className="text-accent underline"
                    >
                      {more} more that nobody has acknowledged
                    </Link>
                  </li>
                ) : null}
                {failed.map((one) => (
                  <li key={one.job_id}>
                    <Link
                      to="/runs/jobs/$id"
                      params={{ id: one.job_id }}
                      className="block rounded-control hover:bg-raised/50"
                    >
                      <span className="text-warn">{one.kind} failed</span>
                      <br />
                      <span className="text-meta text-muted">{one.error}</span>
                    </Link>
                  </li>
                ))}
                {all || rows <= 2 ? null : (
                  <li className="tablet:hidden">
                    <Button kind="quiet" onClick={() => setAll(true)}>
                      {rows - 2 + more} more
                    </Button>
                  </li>
                )}
              </ul>
            )
          }
        </Loaded>
      </div>
    </Panel>
  );
}

/** A part of the list that could not be read: the list is not whole then, and never "nothing". */
function Unread({ query, failure }: { query: UseQueryResult<unknown>; failure: Error }) {
  return (
    <li>
      <Failed error={failure} retry={query.refetch} trying={query.isFetching} />
    </li>
  );
}

const BREACHES = 4;

/** What nobody has seen stands out; what somebody has seen is there, quietly, as long as it stands. */
function BreachRow({ row }: { row: Schemas["BreachRow"] }) {
  const seen = row.acknowledged;
  return (
    <li className="flex flex-wrap items-center gap-x-3 gap-y-1">
      <span className="min-w-0 flex-1 basis-40 tablet:basis-56">
        <Link
          to="/constraints/$rule"
          params={{ rule: row.rule_id }}
          search={(before) => ({ ...before, account: row.account.split("/")[1] }) as never}
          className={cx("hover:underline", seen ? "text-muted" : "")}
        >
          <span className={seen ? "" : "text-safety"}>Breach</span> · {row.account} {row.rule_id}
        </Link>
        <br />
        {seen ? (
          <AcknowledgedBy made={seen} />
        ) : (
          <span className="line-clamp-1 text-meta text-muted tablet:line-clamp-none">
            <Time at={row.as_of} /> · {row.rationale}
          </span>
        )}
      </span>
      {seen ? null : <Acknowledge breach={{ ...row, event_id: row.place.event_id }} />}
    </li>
  );
}

function RegimeNow({ className }: { className: string }) {
  const { firm } = useScope();
  const query = useQuery({ ...regimesQuery(firm), enabled: firm !== "" });
  return (
    <Panel title="Regime now" className={className} aside={<All to="/regimes" />}>
      {query.data === undefined && query.error instanceof ApiProblem && query.error.status === 404 ? (
        <Empty>No run has read a regime yet.</Empty>
      ) : (
        <Loaded
          query={query}
          height={160}
          empty={{ when: (data) => data.regimes.length === 0, why: "No run has read a regime yet." }}
        >
          {(data) => {
            const market = data.regimes.find((one) => one.is_market) ?? data.regimes[0];
            if (market === undefined) return null;
            return (
              <div className="grid gap-2">
                <p className="text-section font-semibold">
                  <RegimeMark label={market.label} confidence={market.confidence} />
                </p>
                <p className="text-muted">
                  {market.symbol} · confidence {percent(market.confidence, 0)} · since <Time at={market.since} />
                  {market.bars_since !== null ? ` (${market.bars_since} bars)` : ""}
                </p>
                <ol
                  className="grid max-h-40 gap-0.5 overflow-y-auto text-meta"
                  tabIndex={0}
                  aria-label="The last changes of the label"
                >
                  {market.transitions.map((one) => (
                    <li key={one.at} className="flex gap-2">
                      <span className="w-36 text-muted">
                        <Time at={one.at} />
                      </span>
                      {regimeName(one.before)} → {regimeName(one.after)}
                    </li>
                  ))}
                </ol>
              </div>
            );
          }}
        </Loaded>
      )}
    </Panel>
  );
}

function LastDecisions() {
  const { firm } = useScope();
  const query = useQuery({ ...decisionsQuery(firm, undefined, 20), enabled: firm !== "" });
  return (
    <Panel title="Last decisions" aside={<All to="/actions" />}>
      <Loaded query={query} height={320} empty={{ when: (data) => data.items.length === 0, why: "No decisions yet." }}>
        {(data) => <DecisionsTable rows={data.items} label="The last twenty decisions" />}
      </Loaded>
    </Panel>
  );
}

function All({ to }: { to: "/constraints" | "/approvals" | "/regimes" | "/actions" }) {
  return (
    <Link to={to} className="text-meta text-muted hover:text-fg">
      All
    </Link>
  );
}
