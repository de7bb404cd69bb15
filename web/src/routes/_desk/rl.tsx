import { useQuery } from "@tanstack/react-query";
import { createFileRoute } from "@tanstack/react-router";
import type { Schemas } from "@/shared/api/client";
import { rlQuery } from "@/shared/api/queries";
import { money, percent, plainNumber } from "@/shared/format/numbers";
import { span } from "@/shared/format/time";
import { Time } from "@/shared/ui/Figure";
import { Figures, One } from "@/shared/ui/Figures";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { type Column, Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";

export const Route = createFileRoute("/_desk/rl")({ component: Learning });

function Learning() {
  const { firm, chosen } = useScope();
  const query = useQuery({ ...rlQuery(firm, chosen), enabled: firm !== "" });
  return (
    <Page title="RL dataset">
      <Loaded
        query={query}
        height={500}
        empty={{
          when: (d) => d.partitions.length === 0,
          why: "No RL rows under this filter: nothing was decided there yet.",
        }}
      >
        {(found) => (
          <div className="grid gap-4">
            <Figures label="Key figures">
              <One name="Rows">{money(found.rows)}</One>
              <One name="Last">
                <Time at={found.last} />
              </One>
              <One name="Since the last row">{span(found.lag_s)}</One>
              <One name="Feature set">{found.feature_set_version}</One>
              <One name="Schema">{found.schema_version}</One>
            </Figures>
            <Panel title="By account and run">
              <Table
                label="Partitions"
                columns={PARTITIONS}
                rows={found.partitions}
                keyOf={(one) => `${one.account} ${one.run_id} ${one.env}`}
              />
            </Panel>
            <div className="grid gap-4 desk:grid-cols-2">
              <Panel title="Rewards: net profit over equity, decision to decision">
                <Histogram bins={found.rewards} />
              </Panel>
              <Panel title="What is least known">
                <ul className="grid gap-1">
                  {[...found.coverage]
                    .sort((a, b) => (a.known ?? -1) - (b.known ?? -1))
                    .slice(0, 14)
                    .map((one) => (
                      <li
                        key={`${one.block}.${one.name}`}
                        title={one.unknown_when}
                        className="grid grid-cols-[minmax(0,1fr)_80px_56px] items-center gap-2"
                      >
                        <span className="truncate">
                          <span className="text-muted">{one.block}</span> {one.name}
                        </span>
                        <span className="h-2 rounded-mark bg-raised">
                          <span
                            className="block h-2 rounded-mark bg-accent"
                            style={{ width: `${(one.known ?? 0) * 100}%` }}
                          />
                        </span>
                        <span className="text-right">{percent(one.known, 0)}</span>
                      </li>
                    ))}
                </ul>
              </Panel>
            </div>
          </div>
        )}
      </Loaded>
    </Page>
  );
}

const PARTITIONS: readonly Column<Schemas["Partition"]>[] = [
  { name: "Account", cell: (one) => one.account.split("/")[1] },
  { name: "Run", cell: (one) => <span className="font-mono text-meta">{one.run_id}</span> },
  { name: "Decisions", cell: (one) => money(one.states), right: true },
  { name: "Transitions", cell: (one) => money(one.transitions), right: true },
  { name: "Open", cell: (one) => money(one.open), right: true },
  { name: "Gaps", cell: (one) => money(one.gaps), right: true },
  { name: "First", cell: (one) => <Time at={one.first} />, wide: true },
  { name: "Last", cell: (one) => <Time at={one.last} />, wide: true },
];

function Histogram({ bins }: { bins: readonly Schemas["RewardBin"][] }) {
  if (bins.length === 0) return <p className="py-2 text-muted">No rewards yet.</p>;
  const most = Math.max(...bins.map((one) => one.count), 1);
  return (
    <figure>
      <svg
        viewBox={`0 0 ${bins.length * 10} 100`}
        preserveAspectRatio="none"
        className="h-40 w-full"
        role="img"
        aria-label={`Histogram of ${bins.length} bins`}
      >
        {bins.map((one, n) => (
          <rect
            key={one.low}
            x={n * 10 + 0.5}
            width={9}
            y={100 - (one.count / most) * 98}
            height={(one.count / most) * 98}
            fill="var(--accent)"
          >
            <title>{`${plainNumber(one.low, 3)} to ${plainNumber(one.high, 3)}: ${one.count}`}</title>
          </rect>
        ))}
      </svg>
      <figcaption className="mt-1 flex justify-between text-meta text-muted">
        <span>{plainNumber(bins[0]?.low, 3)}</span>
        <span>{plainNumber(bins.at(-1)?.high, 3)}</span>
      </figcaption>
    </figure>
  );
}
