import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { useCallback, useMemo } from "react";
import { bookCorrelations, type Colour, nameOf } from "@/features/book";
import { Choice } from "@/features/Choice";
import { CorrelationMatrix } from "@/features/CorrelationMatrix";
import { OutcomeChip, RuleLinks } from "@/features/decisions";
import { Factors, Groups } from "@/features/Exposures";
import { figureOf, HeatMap } from "@/features/HeatMap";
import { LongTable } from "@/features/LongTable";
import { placeOf } from "@/features/record";
import { useTwin } from "@/features/useTwin";
import type { Schemas } from "@/shared/api/client";
import { decisionQuery, portfolioQuery } from "@/shared/api/queries";
import { percent, plainNumber, signed } from "@/shared/format/numbers";
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
          <HeatMap
            positions={book.positions}
            colour={colour}
            withBook={withBook}
            onSymbol={(symbol) => show({ symbol })}
          />
        ) : (
          <LongTable
            label="Positions"
            columns={columnsOf(withBook, colour)}
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
        {book.correlations ? <CorrelationMatrix found={book.correlations} /> : null}
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

/** Where there is little room, what the map is coloured by stands in it. */
function columnsOf(withBook: ReadonlyMap<string, number>, colour: Colour): readonly Column<Position>[] {
  const byCorrelation = colour === "corr";
  return [
    SYMBOL,
    { name: "Group", cell: (one) => <span className="text-muted">{nameOf(one.group)}</span>, wide: true },
    { name: "Quantity", cell: (one) => plainNumber(one.quantity, 8), right: true, wide: true },
    { name: "Mark", cell: (one) => plainNumber(one.mark, 7), right: true, wide: true },
    { name: "Value", cell: (one) => <Money value={one.market_value} />, right: true, wide: true },
    { name: "Weight", cell: (one) => <Percent value={one.weight} />, right: true },
    { name: "Allowed", cell: (one) => <Percent value={one.target_weight} />, right: true },
    { name: "Return", cell: (one) => <Percent value={one.unrealised_return} decimals={1} sign />, right: true },
    { name: "Risk", cell: (one) => <Percent value={one.risk_share} decimals={1} />, right: true, wide: byCorrelation },
    { name: "Correlation", cell: (one) => figureOf(one, "corr", withBook), right: true, wide: !byCorrelation },
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
