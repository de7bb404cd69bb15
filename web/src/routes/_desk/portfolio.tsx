import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { hierarchy, treemap } from "d3-hierarchy";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { bookCorrelations, CLIPS, type Colour, fits, shownOf } from "@/features/book";
import { Choice } from "@/features/Choice";
import { diverging, inkOn, middle } from "@/features/colour";
import { OutcomeChip, RuleLinks } from "@/features/decisions";
import { LongTable } from "@/features/LongTable";
import { placeOf } from "@/features/record";
import { useLight } from "@/features/theme";
import { useTwin } from "@/features/useTwin";
import type { Schemas } from "@/shared/api/client";
import { decisionQuery, portfolioQuery } from "@/shared/api/queries";
import { money as fixed, numberOf, percent, plainNumber, signed } from "@/shared/format/numbers";
import { Chip } from "@/shared/ui/Chip";
import { Age, Money, Percent, Time } from "@/shared/ui/Figure";
import { Figures, One } from "@/shared/ui/Figures";
import { Page } from "@/shared/ui/Page";
import { Empty, Loaded, Panel } from "@/shared/ui/Panel";
import type { Column } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";

type Book = Schemas["Portfolio"];
type Position = Schemas["PositionRow"];
type Look = "map" | "table";
const COLOURS: readonly { value: Colour; text: string }[] = [
  { value: "pnl", text: "Return" },
  { value: "risk", text: "Risk" },
  { value: "corr", text: "Correlation" },
];

export const Route = createFileRoute("/_desk/portfolio")({
  validateSearch: (said: Record<string, unknown>): { colour?: Colour; look?: Look; symbol?: string } => ({
    ...(said.colour === "risk" || said.colour === "corr" ? { colour: said.colour } : {}),
    ...(said.look === "table" ? { look: "table" as const } : {}),
    ...(typeof said.symbol === "string" && said.symbol.length <= 40 ? { symbol: said.symbol } : {}),
  }),
  component: PortfolioPage,
});

function useShow() {
  const navigate = Route.useNavigate();
  return useCallback(
    (more: { colour?: Colour; look?: Look; symbol?: string }) =>
      void navigate({ search: (before) => ({ ...before, ...more }), replace: true, resetScroll: false }),
    [navigate],
  );
}

function PortfolioPage() {
  const { firm, account } = useScope();
  const { look = "map" } = Route.useSearch();
  const show = useShow();
  const query = useQuery({ ...portfolioQuery(firm, account ?? ""), enabled: account !== undefined });
  useTwin(useCallback(() => show({ look: look === "map" ? "table" : "map" }), [look, show]));
  if (account === undefined) {
    return (
      <Page title="Portfolio">
        <Empty>No accounts assigned to you. An Admin can add you to a firm.</Empty>
      </Page>
    );
  }
  return (
    <Page title="Portfolio">
      <Loaded query={query} height={600}>
        {(book) => (
          <div className="grid gap-4">
            <KeyFigures book={book} />
            {book.decision === null ? (
              <Panel title="Positions">
                <Empty>
                  {account} was never decided in its mode, so nothing of it is known.{" "}
                  <code>/run backtest account:{book.account}</code> tries it on history.
                </Empty>
              </Panel>
            ) : book.positions.length === 0 ? (
              <Panel title="Positions">
                <Empty>Flat. Cash {percent(book.cash_weight, 0)}.</Empty>
              </Panel>
            ) : (
              <Held book={book} />
            )}
            {book.notes.length > 0 ? (
              <Panel title="What is not known">
                <ul className="list-disc pl-4">
                  {book.notes.map((one) => (
                    <li key={one}>{one}</li>
                  ))}
                </ul>
              </Panel>
            ) : null}
          </div>
        )}
      </Loaded>
    </Page>
  );
}

function Held({ book }: { book: Book }) {
  const { look = "map", colour = "pnl", symbol } = Route.useSearch();
  const show = useShow();
  const withBook = useMemo(() => bookCorrelations(book.positions, book.correlations), [book]);
  const shown = book.positions.find((one) => one.symbol === symbol);
  const changed = book.positions.filter((one) => one.limiting_rules.length > 0);
  return (
    <>
      <Panel
        title="Positions"
        aside={
          <span className="flex flex-wrap gap-x-3">
            <Choice
              name="Look"
              options={[
                { value: "map", text: "Map" },
                { value: "table", text: "Table", hint: "t" },
              ]}
              value={look}
              onChange={(value) => show({ look: value })}
            />
            {look === "map" ? (
              <Choice name="Colour" options={COLOURS} value={colour} onChange={(value) => show({ colour: value })} />
            ) : null}
          </span>
        }
      >
        {look === "map" ? (
          <HeatMap positions={book.positions} colour={colour} withBook={withBook} />
        ) : (
          <LongTable
            label="Positions"
            columns={columnsOf(withBook)}
            rows={book.positions}
            keyOf={(one) => one.symbol}
          />
        )}
      </Panel>
      {symbol === undefined ? null : shown ? (
        <OnePosition book={book} position={shown} />
      ) : (
        <Panel title={symbol}>
          <Empty>{symbol} is not held any more.</Empty>
        </Panel>
      )}
      <div className="grid items-start gap-4 desk:grid-cols-2">
        <Groups groups={book.groups} />
        <Factors factors={book.factors} />
        <Panel title="Changed by guards" aside={<LastDecision book={book} />}>
          {changed.length === 0 ? (
            <Empty>The last decision left every position as it was proposed.</Empty>
          ) : (
            <LongTable
              label="Positions that guards changed"
              columns={CHANGED}
              rows={changed}
              keyOf={(one) => one.symbol}
            />
          )}
        </Panel>
        {book.correlations ? <Matrix found={book.correlations} /> : null}
      </div>
    </>
  );
}

function LastDecision({ book }: { book: Book }) {
  return (
    <span className="flex items-center gap-2 text-meta text-muted">
      {book.outcome ? <OutcomeChip outcome={book.outcome} /> : null} <Age at={book.as_of} seconds={book.age_s} />
    </span>
  );
}

/** What the Portfolio Manager said of one position, and why. */
function OnePosition({ book, position }: { book: Book; position: Position }) {
  const { firm, account, accounts } = useScope();
  const show = useShow();
  const last = accounts?.find((one) => one.account_id === account)?.last_decision;
  const query = useQuery({
    ...decisionQuery(firm, account ?? "", last?.decision_id ?? ""),
    enabled: Boolean(last?.decision_id),
  });
  return (
    <Panel
      title={position.symbol}
      aside={
        <button
          type="button"
          className="text-meta text-muted hover:text-fg max-desk:min-h-11 max-desk:min-w-11"
          onClick={() => show({ symbol: "" })}
        >
          Close
        </button>
      }
    >
      <dl className="grid grid-cols-2 gap-x-6 gap-y-1 tablet:grid-cols-4">
        <Fact name="Weight">{percent(position.weight)}</Fact>
        <Fact name="Proposed">{percent(position.proposed_weight)}</Fact>
        <Fact name="Allowed">{percent(position.target_weight)}</Fact>
        <Fact name="Return">{signed(percent(position.unrealised_return, 1))}</Fact>
        <Fact name="Quantity">{plainNumber(position.quantity, 8)}</Fact>
        <Fact name="Entry">{plainNumber(position.average_price, 6)}</Fact>
        <Fact name="Mark">
          {plainNumber(position.mark, 7)}
          {position.mark_age_bars ? <Chip tone="warn">{position.mark_age_bars} bars old</Chip> : null}
        </Fact>
        <Fact name="Value">
          <Money value={position.market_value} currency={book.currency} />
        </Fact>
      </dl>
      <p className="mt-3">
        {position.limiting_rules.length > 0 ? (
          <>
            Kept from its proposal by <RuleLinks rules={position.limiting_rules} />.
          </>
        ) : (
          "No guard changed it."
        )}
      </p>
      <Loaded query={query} height={48}>
        {(decision) => (
          <div className="mt-1 text-muted">
            <p>{decision.rationale}</p>
            <p>
              Decided <Time at={decision.as_of} /> in{" "}
              <Link to="/runs/$id" params={{ id: decision.run_id }} className="text-accent underline">
                its run
              </Link>
              ,{" "}
              <Link to="/audit/$" params={{ _splat: placeOf(decision.place) }} className="text-accent underline">
                entry {decision.place.seq} of the record
              </Link>
              , decision <code className="break-all">{(decision.decision_id ?? "unknown").slice(0, 12)}</code>.
            </p>
          </div>
        )}
      </Loaded>
    </Panel>
  );
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div className="min-w-0">
      <dt className="text-meta text-muted">{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function KeyFigures({ book }: { book: Book }) {
  return (
    <Figures label="Key figures">
      <One name="Equity">
        <Money value={book.equity} currency={book.currency} />
      </One>
      <One name="Cash">
        <Percent value={book.cash_weight} decimals={1} />
      </One>
      <One name="Gross">
        <Percent value={book.gross} decimals={1} />
      </One>
      <One name="Net">
        <Percent value={book.net} decimals={1} />
      </One>
      <One name="Volatility a year">
        <Percent value={book.volatility} decimals={1} />
      </One>
      <One name="As of">
        <span className="text-body font-normal">
          <Time at={book.as_of} />
        </span>
      </One>
    </Figures>
  );
}

const SYMBOL: Column<Position> = {
  name: "Symbol",
  cell: (one) => (
    <Link
      to="/portfolio"
      search={(before) => ({ ...before, symbol: one.symbol })}
      resetScroll={false}
      className="font-medium text-accent hover:underline"
    >
      {one.symbol}
    </Link>
  ),
};

function columnsOf(withBook: ReadonlyMap<string, number>): readonly Column<Position>[] {
  return [
    SYMBOL,
    { name: "Group", cell: (one) => <span className="text-muted">{nameOf(one.group)}</span>, wide: true },
    { name: "Quantity", cell: (one) => plainNumber(one.quantity, 8), right: true, wide: true },
    { name: "Mark", cell: (one) => plainNumber(one.mark, 7), right: true, wide: true },
    { name: "Value", cell: (one) => <Money value={one.market_value} />, right: true, wide: true },
    { name: "Weight", cell: (one) => <Percent value={one.weight} />, right: true },
    { name: "Allowed", cell: (one) => <Percent value={one.target_weight} />, right: true },
    { name: "Return", cell: (one) => <Percent value={one.unrealised_return} decimals={1} sign />, right: true },
    { name: "Risk", cell: (one) => <Percent value={one.risk_share} decimals={1} />, right: true },
    { name: "Correlation", cell: (one) => figureOf(one, "corr", withBook), right: true, wide: true },
    { name: "Beta", cell: (one) => plainNumber(one.beta, 3), right: true, wide: true },
    { name: "Limited by", cell: (one) => <RuleLinks rules={one.limiting_rules} />, wide: true },
  ];
}

const CHANGED: readonly Column<Position>[] = [
  SYMBOL,
  { name: "Proposed", cell: (one) => <Percent value={one.proposed_weight} />, right: true },
  { name: "Allowed", cell: (one) => <Percent value={one.target_weight} />, right: true },
  { name: "By", cell: (one) => <RuleLinks rules={one.limiting_rules} /> },
];

function nameOf(group: string | null): string {
  return group?.replaceAll("-", " ") ?? "no group";
}

function figureOf(one: Position, colour: Colour, withBook: ReadonlyMap<string, number>): string {
  const value = shownOf(one, colour, withBook);
  if (colour === "corr") return value === null ? "unknown" : fixed(value, 2);
  return colour === "pnl" ? signed(percent(value, 1)) : percent(value, 1);
}

const SAID: Record<Colour, string> = { pnl: "return", risk: "risk", corr: "correlation" };

function wordsOf(one: Position, colour: Colour, withBook: ReadonlyMap<string, number>): string {
  return `${one.symbol}, ${nameOf(one.group)}: weight ${percent(one.weight)}, ${SAID[colour]} ${figureOf(one, colour, withBook)}`;
}

const LEGENDS: Record<Colour, string> = {
  pnl: `Return since entry: blue = gain, orange = loss, last shade at ±${percent(CLIPS.pnl, 0)}.`,
  risk: `Share of the book's variance: blue = adds, orange = takes away, last shade at ±${percent(CLIPS.risk, 0)}.`,
  corr: "Correlation with the book: blue = with it, orange = against it, from −1 to 1.",
};

type MapProps = { positions: readonly Position[]; colour: Colour; withBook: ReadonlyMap<string, number> };

/** Area = weight, colour = what is chosen; the table beside it says the same in figures. */
function HeatMap({ positions, colour, withBook }: MapProps) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const light = useLight();
  const show = useShow();
  useEffect(() => {
    if (box.current === null) return;
    const watch = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  const height = width < 600 ? 420 : 380;
  const leaves = useMemo(() => tilesOf(positions, width, height), [positions, width, height]);
  return (
    <figure>
      <div ref={box} style={{ minHeight: height }}>
        <svg width={width} height={height} aria-hidden="true">
          {leaves.map(({ one, x, y, w, h }) => {
            const value = shownOf(one, colour, withBook);
            const fill = value === null ? middle(light) : diverging(value / CLIPS[colour], light);
            const figure = figureOf(one, colour, withBook);
            const named = fits(one.symbol, 12, w, h);
            return (
              // biome-ignore lint/a11y/noStaticElementInteractions: hidden from assistive tech, which has the list below
              <g
                key={one.symbol}
                transform={`translate(${x},${y})`}
                className="cursor-pointer"
                onClick={() => show({ symbol: one.symbol })}
              >
                <title>{wordsOf(one, colour, withBook)}</title>
                <rect width={w} height={h} rx={3} fill={fill} />
                {value === null ? <rect width={w} height={h} rx={3} fill="url(#not-known)" /> : null}
                {named ? (
                  <text x={6} y={16} fill={inkOn(fill)} fontSize={12} fontWeight={600}>
                    {one.symbol}
                  </text>
                ) : null}
                {named && fits(figure, 11, w, h - 16) ? (
                  <text x={6} y={31} fill={inkOn(fill)} fontSize={11}>
                    {figure}
                  </text>
                ) : null}
              </g>
            );
          })}
          <defs>
            <pattern id="not-known" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
              <rect width="2" height="6" fill="var(--muted)" opacity="0.35" />
            </pattern>
          </defs>
        </svg>
      </div>
      <ul className="sr-only">
        {positions.map((one) => (
          <li key={one.symbol}>{wordsOf(one, colour, withBook)}</li>
        ))}
      </ul>
      <figcaption className="mt-2 text-meta text-muted">
        Area = weight. {LEGENDS[colour]} Hatched = not known.
      </figcaption>
    </figure>
  );
}

type Tile = { one: Position; x: number; y: number; w: number; h: number };

function tilesOf(positions: readonly Position[], width: number, height: number): Tile[] {
  if (width <= 0) return [];
  type Node = { children?: Node[]; position?: Position };
  const groups = new Map<string, Node[]>();
  for (const one of positions) {
    const group = one.group ?? "";
    groups.set(group, [...(groups.get(group) ?? []), { position: one }]);
  }
  const root = hierarchy<Node>({ children: [...groups.values()].map((children) => ({ children })) })
    .sum((one) => Math.abs(numberOf(one.position?.weight) ?? 0))
    .sort((a, b) => (b.value ?? 0) - (a.value ?? 0));
  return treemap<Node>()
    .size([width, height])
    .paddingInner(2)
    .paddingOuter(1)
    .round(true)(root)
    .leaves()
    .map((leaf) => ({
      one: leaf.data.position as Position,
      x: leaf.x0,
      y: leaf.y0,
      w: leaf.x1 - leaf.x0,
      h: leaf.y1 - leaf.y0,
    }));
}

function Groups({ groups }: { groups: readonly Schemas["GroupExposure"][] }) {
  const most = Math.max(0.01, ...groups.map((one) => numberOf(one.gross) ?? 0));
  return (
    <Panel title="Exposure by sector" aside={<span className="text-meta text-muted">gross, share of risk</span>}>
      <ul className="grid gap-1.5">
        {[...groups]
          .sort((a, b) => (numberOf(b.gross) ?? 0) - (numberOf(a.gross) ?? 0))
          .map((one) => (
            <li
              key={one.group ?? ""}
              title={`${one.symbols.join(" ")}; net ${percent(one.net, 1)}`}
              className="grid grid-cols-[minmax(0,1.4fr)_minmax(40px,1fr)_56px_56px] items-center gap-3"
            >
              <span className="truncate">{nameOf(one.group)}</span>
              <span className="h-2 rounded-mark bg-raised">
                <span
                  className="block h-2 rounded-mark bg-accent"
                  style={{ width: `${((numberOf(one.gross) ?? 0) / most) * 100}%` }}
                />
              </span>
              <span className="text-right">
                <Percent value={one.gross} decimals={1} />
              </span>
              <span className="text-right text-muted">
                <Percent value={one.risk_share} decimals={1} />
              </span>
            </li>
          ))}
      </ul>
    </Panel>
  );
}

const FACTORS: Record<string, [string, string, (value: number | null) => string]> = {
  market_beta: ["Market", "Σ weight · beta to the market proxy", (value) => `${plainNumber(value, 3)} β`],
  volatility: ["Volatility", "Σ weight · a position's own volatility a year", (value) => percent(value, 1)],
};

function Factors({ factors }: { factors: Book["factors"] }) {
  return (
    <Panel title="Exposure by factor">
      <dl className="grid gap-2">
        {factors.map((one) => {
          const [name, means, text] = FACTORS[one.factor] ?? [one.factor, "", (value) => plainNumber(value, 3)];
          return (
            <div key={one.factor} className="grid grid-cols-[minmax(0,1fr)_auto] gap-x-3">
              <dt>
                {name} <span className="block text-meta text-muted">{means}</span>
              </dt>
              <dd className="text-right">
                {one.net === null ? "unknown" : text(one.net)}
                <span className="block text-meta text-muted">
                  {one.net === null ? `not known of ${one.missing.join(" ")}` : `gross ${text(one.gross)}`}
                </span>
              </dd>
            </div>
          );
        })}
      </dl>
      <p className="mt-3 text-meta text-muted">
        As the guards saw them at the last decision. Momentum and other styles are not in the record, so nothing is said
        of them.
      </p>
    </Panel>
  );
}

function Matrix({ found }: { found: Schemas["Correlations"] }) {
  const n = found.symbols.length;
  const light = useLight();
  const rows = found.symbols.map((symbol, i) => ({ symbol, values: found.matrix[i] ?? [] }));
  return (
    <Panel title="Correlations">
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset would be a form */}
      <div className="max-h-[30rem] overflow-auto" tabIndex={0} role="group" aria-label="Correlations">
        <table className="w-full table-fixed border-separate border-spacing-px text-label">
          <caption className="sr-only">Correlation of the returns of what is held</caption>
          <thead>
            <tr>
              <th scope="col" className="sticky top-0 left-0 w-12 bg-surface">
                <span className="sr-only">Symbol</span>
              </th>
              {found.symbols.map((symbol) => (
                <th
                  key={symbol}
                  scope="col"
                  className={`sticky top-0 bg-surface font-normal text-muted ${n > 12 ? "h-12 w-7" : "w-12"}`}
                >
                  <span className={n > 12 ? "inline-block -rotate-90 whitespace-nowrap" : ""}>{symbol}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ symbol, values }) => (
              <tr key={symbol}>
                <th scope="row" className="sticky left-0 bg-surface text-left font-normal text-muted">
                  {symbol}
                </th>
                {values.map((value, j) => {
                  const fill = value === null ? middle(light) : diverging(value, light);
                  return (
                    <td
                      key={found.symbols[j]}
                      title={`${symbol} and ${found.symbols[j]}: ${value === null ? "unknown" : value.toFixed(2)}`}
                      className={`h-6 text-center ${value === null ? "hatch" : ""}`}
                      style={{ backgroundColor: fill, color: inkOn(fill) }}
                    >
                      {short(value)}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p className="mt-2 text-meta text-muted">In hundredths. Blue = together, orange = against each other.</p>
    </Panel>
  );
}

/** A correlation in hundredths: 45 for 0.45. */
function short(value: number | null): string {
  return value === null ? "?" : plainNumber(Math.round(value * 100), 3);
}
