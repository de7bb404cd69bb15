import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { LastChange } from "@/features/LastChange";
import { kindWords, placeOf } from "@/features/record";
import { constraintHistoryQuery, constraintQuery } from "@/shared/api/queries";
import { numberOf, ruleValue } from "@/shared/format/numbers";
import { Chip } from "@/shared/ui/Chip";
import { Time } from "@/shared/ui/Figure";
import { LimitBar } from "@/shared/ui/LimitBar";
import { Page } from "@/shared/ui/Page";
import { Empty, Loaded, Panel } from "@/shared/ui/Panel";
import { useScope } from "@/shell/scope";
import { STATE_TONES } from "./constraints.index";

export const Route = createFileRoute("/_desk/constraints/$rule")({ component: OneRule });

function OneRule() {
  const { rule } = Route.useParams();
  const { firm, account } = useScope();
  const query = useQuery({ ...constraintQuery(firm, account ?? "", rule), enabled: account !== undefined });
  const history = useQuery({ ...constraintHistoryQuery(firm, account ?? "", rule), enabled: account !== undefined });
  return (
    <Page
      title={rule}
      aside={
        <Link to="/constraints" className="text-muted hover:text-fg">
          All rules
        </Link>
      }
    >
      <Loaded query={query} height={400}>
        {(row) => (
          <div className="grid gap-4">
            <Panel
              title={row.title}
              aside={<Chip tone={STATE_TONES[row.state] ?? "unknown"}>{row.state.replace("_", " ")}</Chip>}
            >
              <div className="grid gap-3">
                <LimitBar used={row.used} state={row.state} label={row.title} />
                <dl className="grid grid-cols-[120px_minmax(0,1fr)] gap-y-1">
                  <Fact name="Value">{ruleValue(row.value, row.unit)}</Fact>
                  <Fact name={row.at_least ? "At least" : "Limit"}>{ruleValue(row.limit, row.unit)}</Fact>
                  <Fact name="Headroom">{ruleValue(row.headroom, row.unit)}</Fact>
                  <Fact name="Holds while">{row.inequality}</Fact>
                  <Fact name="Otherwise">{row.effect}</Fact>
                  <Fact name="Lets go">{row.recovery}</Fact>
                  <Fact name="Set by">
                    {row.set_by
                      ? `${row.set_by.layer} ${row.set_by.name}: ${row.set_by.path}${row.set_by.file ? ` (${row.set_by.file}:${row.set_by.line})` : ""}`
                      : "unknown"}
                  </Fact>
                  <Fact name="Decided at">
                    <Time at={row.as_of} />
                  </Fact>
                </dl>
                <LastChange
                  account={row.account.split("/")[1] ?? ""}
                  concerns={(path) => row.parameters?.some((one) => one.path === path) ?? false}
                />
                <code className="text-meta text-muted">
                  /show constraints account:{row.account} rule:{row.rule_id}
                </code>
              </div>
            </Panel>
            <Panel title="How much of its limit it has used">
              <Loaded query={history} height={120} empty={{ when: (d) => d.items.length < 2, why: "No history yet." }}>
                {(data) => <Spark points={[...data.items].reverse().map((one) => one.used)} />}
              </Loaded>
            </Panel>
            <Panel title="Last triggers">
              {row.triggers.length === 0 ? (
                <Empty>It has never triggered here.</Empty>
              ) : (
                <ul className="grid gap-2">
                  {row.triggers.map((one) => (
                    <li key={one.place.event_id}>
                      <span className="text-muted">
                        <Link
                          to="/audit/$"
                          params={{ _splat: placeOf(one.place) }}
                          className="text-accent hover:underline"
                        >
                          <Time at={one.as_of} />
                        </Link>{" "}
                        · {kindWords(one.event_type)}
                      </span>
                      <br />
                      {one.rationale}
                    </li>
                  ))}
                </ul>
              )}
            </Panel>
          </div>
        )}
      </Loaded>
    </Page>
  );
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <>
      <dt className="text-muted">{name}</dt>
      <dd className="min-w-0 break-words">{children}</dd>
    </>
  );
}

function Spark({ points }: { points: readonly (number | null)[] }) {
  const known = points.map((one) => numberOf(one));
  const top = Math.max(1.1, ...known.map((one) => one ?? 0));
  const x = (n: number) => (n / Math.max(known.length - 1, 1)) * 600;
  const y = (value: number) => 96 - (value / top) * 92;
  let path = "";
  known.forEach((one, n) => {
    if (one !== null) path += `${path && known[n - 1] !== null ? "L" : "M"}${x(n).toFixed(1)} ${y(one).toFixed(1)}`;
  });
  return (
    <svg
      viewBox="0 0 600 100"
      preserveAspectRatio="none"
      className="h-28 w-full"
      role="img"
      aria-label="History of use"
    >
      <line
        x1="0"
        x2="600"
        y1={y(1)}
        y2={y(1)}
        stroke="var(--safety)"
        strokeDasharray="4 4"
        vectorEffect="non-scaling-stroke"
      />
      <path d={path} fill="none" stroke="var(--accent)" strokeWidth="2" vectorEffect="non-scaling-stroke" />
    </svg>
  );
}
