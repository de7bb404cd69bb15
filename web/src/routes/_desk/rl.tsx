import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { LongTable } from "@/features/LongTable";
import { loggerOf } from "@/features/rl";
import type { Schemas } from "@/shared/api/client";
import { rlQuery } from "@/shared/api/queries";
import { money, percent, plainNumber } from "@/shared/format/numbers";
import { span } from "@/shared/format/time";
import { Chip } from "@/shared/ui/Chip";
import { Time } from "@/shared/ui/Figure";
import { Figures, One } from "@/shared/ui/Figures";
import { Page } from "@/shared/ui/Page";
import { Empty, Loaded, Panel } from "@/shared/ui/Panel";
import type { Column } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";

type Found = Schemas["DatasetStatus"];
const ENVS = [
  ["dry_run", "Dry run"],
  ["shadow", "Shadow"],
  ["gated_live", "Gated live"],
] as const;
type Env = (typeof ENVS)[number][0];
const FEW = 14;

export const Route = createFileRoute("/_desk/rl")({
  validateSearch: (said: Record<string, unknown>): { env?: Env; coverage?: "all" } => ({
    ...(said.env === "shadow" || said.env === "gated_live" ? { env: said.env } : {}),
    ...(said.coverage === "all" ? { coverage: "all" as const } : {}),
  }),
  component: Learning,
});

function Learning() {
  const { firm, chosen, accounts } = useScope();
  const { env = "dry_run" } = Route.useSearch();
  const query = useQuery({ ...rlQuery(firm, chosen, env), enabled: firm !== "" });
  const whose = chosen === undefined ? "these accounts" : "this account";
  const decided = accounts?.find((one) => one.account_id === chosen && one.mode === env)?.last_decision?.as_of ?? null;
  return (
    <Page
      title="RL dataset"
      aside={
        <nav aria-label="Mode of the decisions" className="flex gap-1">
          {ENVS.map(([one, name]) => (
            <Link
              key={one}
              to="/rl"
              search={(before) => ({ ...before, env: one })}
              aria-current={one === env ? "true" : undefined}
              className={`inline-flex h-8 items-center rounded-control px-3 max-desk:h-11 ${one === env ? "bg-raised" : "text-muted hover:text-fg"}`}
            >
              {name}
            </Link>
          ))}
        </nav>
      }
    >
      <Loaded query={query} height={500}>
        {(found) => {
          const logger = loggerOf(found, decided);
          return (
            <div className="grid gap-4">
              <p role="status" className="flex flex-wrap items-center gap-2" data-logger={logger.word}>
                <Chip tone={logger.tone}>{logger.word}</Chip> {logger.says}
              </p>
              {logger.word === "off" ? (
                <Empty>
                  RL logging is off for {whose} in {env.replaceAll("_", " ")}: rows come with the first decision in this
                  mode. <code>/run backtest account:{chosen ? `${firm}/${chosen}` : `${firm}/…`}</code> leaves some of a
                  dry run.
                </Empty>
              ) : (
                <Status found={found} />
              )}
            </div>
          );
        }}
      </Loaded>
    </Page>
  );
}

function Status({ found }: { found: Found }) {
  return (
    <>
      <Figures label="Key figures">
        <One name="Rows">{money(found.rows)}</One>
        <One name="Wait to be sealed">{money(found.waiting)}</One>
        <One name="Since the last row">{span(found.lag_s)}</One>
        <One name="Last">
          <Time at={found.last} />
        </One>
        <One name="Feature set">{found.feature_set_version}</One>
        <One name="Schema">{found.schema_version}</One>
      </Figures>
      <div className="grid items-start gap-4 desk:grid-cols-2">
        <Panel title="Rows a day">
          <Days days={found.rows_by_day} />
        </Panel>
        <Panel title="Rewards: net profit over equity, decision to decision">
          <Histogram bins={found.rewards} />
        </Panel>
      </div>
      <Panel title="By account and run">
        {found.partitions.length === 0 ? (
          <Empty>No decision has left a row here yet.</Empty>
        ) : (
          <LongTable
            label="Partitions"
            columns={PARTITIONS}
            rows={found.partitions}
            keyOf={(one) => `${one.account} ${one.run_id} ${one.env}`}
          />
        )}
      </Panel>
      {found.coverage.length === 0 ? null : <Coverage coverage={found.coverage} />}
    </>
  );
}

const PARTITIONS: readonly Column<Schemas["Partition"]>[] = [
  { name: "Account", cell: (one) => one.account.split("/")[1] },
  {
    name: "Run",
    cell: (one) => (
      <Link
        to="/runs/$id"
        params={{ id: one.run_id }}
        className="block max-w-44 truncate font-mono text-meta text-accent hover:underline"
      >
        {one.run_id}
      </Link>
    ),
  },
  { name: "Decisions", cell: (one) => money(one.states), right: true },
  { name: "Waiting", cell: (one) => money(one.waiting), right: true, wide: true },
  { name: "Transitions", cell: (one) => money(one.transitions), right: true, wide: true },
  { name: "Open", cell: (one) => money(one.open), right: true, wide: true },
  {
    name: "Gaps",
    cell: (one) => (one.gaps > 0 ? <Chip tone="warn">{money(one.gaps)}</Chip> : "0"),
    right: true,
  },
  { name: "Cut off", cell: (one) => money(one.censored), right: true, wide: true },
  { name: "Features", cell: (one) => one.feature_set_versions.join(", ") || "none sealed", wide: true },
  { name: "First", cell: (one) => <Time at={one.first} />, wide: true },
  { name: "Last", cell: (one) => <Time at={one.last} />, wide: true },
];

function Coverage({ coverage }: { coverage: Found["coverage"] }) {
  const { coverage: asked } = Route.useSearch();
  const sorted = [...coverage].sort((a, b) => (a.known ?? -1) - (b.known ?? -1));
  const shown = asked === "all" ? sorted : sorted.slice(0, FEW);
  return (
    <Panel
      title="How much of each feature is known"
      aside={
        <Link
          to="/rl"
          search={({ coverage: _, ...before }) => (asked === "all" ? before : { ...before, coverage: "all" as const })}
          resetScroll={false}
          className="text-meta text-muted hover:text-fg max-desk:flex max-desk:min-h-11 max-desk:items-center"
        >
          {asked === "all" ? "The least known" : `All ${coverage.length}`}
        </Link>
      }
    >
      <ul className="grid gap-x-8 gap-y-1 tablet:grid-cols-2">
        {shown.map((one) => (
          <li
            key={`${one.block}.${one.name}`}
            title={`${one.description} Unknown: ${one.unknown_when}`}
            className="grid grid-cols-[minmax(0,1fr)_80px_48px] items-center gap-2"
          >
            <span className="truncate">
              <span className="text-muted">{one.block}</span> {one.name}
            </span>
            <span className={`h-2 rounded-mark ${one.known === null ? "hatch" : "bg-raised"}`}>
              <span className="block h-2 rounded-mark bg-accent" style={{ width: `${(one.known ?? 0) * 100}%` }} />
            </span>
            <span className="text-right">{percent(one.known, 0)}</span>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

type Bar = { key: string; size: number; says: string; mark?: boolean };

/** Bars beside each other; what each of them says is read to whoever cannot see it. */
function Bars({ bars, label, ends }: { bars: readonly Bar[]; label: string; ends: readonly [string, string] }) {
  const most = Math.max(...bars.map((one) => one.size), 1);
  return (
    <figure>
      <svg
        viewBox={`0 0 ${bars.length * 10} 100`}
        preserveAspectRatio="none"
        className="h-36 w-full border-b border-line"
        aria-hidden="true"
      >
        {bars.map((one, n) => {
          const height = one.size === 0 ? 0 : Math.max(1.5, (one.size / most) * 98);
          return (
            <rect
              key={one.key}
              x={n * 10 + 0.75}
              width={8.5}
              y={100 - height}
              height={height}
              fill={one.mark ? "var(--loss)" : "var(--accent)"}
            >
              <title>{one.says}</title>
            </rect>
          );
        })}
      </svg>
      <ul className="sr-only" aria-label={label}>
        {bars.map((one) => (
          <li key={one.key}>{one.says}</li>
        ))}
      </ul>
      <figcaption className="mt-1 flex justify-between gap-2 text-meta text-muted">
        <span>{ends[0]}</span>
        <span>most {money(most)}</span>
        <span>{ends[1]}</span>
      </figcaption>
    </figure>
  );
}

function Days({ days }: { days: Found["rows_by_day"] }) {
  if (days.length === 0) return <Empty>No sealed rows yet.</Empty>;
  const bars = days.map((one) => ({ key: one.day, size: one.rows, says: `${one.day}: ${one.rows} rows` }));
  return <Bars bars={bars} label="Rows a day" ends={[days[0]?.day ?? "", days.at(-1)?.day ?? ""]} />;
}

function Histogram({ bins }: { bins: Found["rewards"] }) {
  if (bins.length === 0) return <Empty>No rewards yet: they come with the second decision.</Empty>;
  const bars = bins.map((one) => ({
    key: String(one.low),
    size: one.count,
    says: `${percent(one.low, 2)} to ${percent(one.high, 2)}: ${plainNumber(one.count)} times`,
    mark: one.high <= 0,
  }));
  return <Bars bars={bars} label="Rewards" ends={[percent(bins[0]?.low, 2), percent(bins.at(-1)?.high, 2)]} />;
}
