import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { hierarchy, treemap } from "d3-hierarchy";
import { useEffect, useRef, useState } from "react";
import { RuleLinks } from "@/features/decisions";
import type { Schemas } from "@/shared/api/client";
import { portfolioQuery } from "@/shared/api/queries";
import { numberOf, percent, plainNumber, signed } from "@/shared/format/numbers";
import { Money, Percent, Time } from "@/shared/ui/Figure";
import { Figures, One } from "@/shared/ui/Figures";
import { Page } from "@/shared/ui/Page";
import { Loaded, Panel } from "@/shared/ui/Panel";
import { type Column, Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";

type Position = Schemas["PositionRow"];
type Colour = "pnl" | "risk";
type Look = "map" | "table";

export const Route = createFileRoute("/_desk/portfolio")({
  validateSearch: (said: Record<string, unknown>): { colour?: Colour; look?: Look } => ({
    ...(said.colour === "risk" ? { colour: "risk" as const } : {}),
    ...(said.look === "table" ? { look: "table" as const } : {}),
  }),
  component: PortfolioPage,
});

function PortfolioPage() {
  const { firm, account } = useScope();
  const { colour = "pnl", look = "map" } = Route.useSearch();
  const navigate = Route.useNavigate();
  const query = useQuery({ ...portfolioQuery(firm, account ?? ""), enabled: account !== undefined });
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const typing = (event.target as HTMLElement | null)?.closest("input, textarea, select, [role='dialog']");
      if (event.key !== "t" || event.ctrlKey || event.metaKey || typing) return;
      void navigate({ search: (before) => ({ ...before, look: look === "map" ? "table" : "map" }) });
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [look, navigate]);
  return (
    <Page title="Portfolio">
      <Loaded query={query} height={600}>
        {(book) => (
          <div className="grid gap-4">
            <KeyFigures book={book} />
            <Panel
              title="Positions"
              aside={
                <span className="flex gap-1">
                  <Toggle to={{ look: "map" }} on={look === "map"} name="Map" />
                  <Toggle to={{ look: "table" }} on={look === "table"} name="Table" hint="t" />
                  {look === "map" ? (
                    <>
                      <span className="mx-1 w-px bg-line" />
                      <Toggle to={{ colour: "pnl" }} on={colour === "pnl"} name="Return" />
                      <Toggle to={{ colour: "risk" }} on={colour === "risk"} name="Risk" />
                    </>
                  ) : null}
                </span>
              }
            >
              {book.positions.length === 0 ? (
                <p className="py-4 text-muted">Flat. Cash {percent(book.cash_weight, 0)}.</p>
              ) : look === "map" ? (
                <HeatMap positions={book.positions} colour={colour} />
              ) : (
                <Table label="Positions" columns={COLUMNS} rows={book.positions} keyOf={(one) => one.symbol} dense />
              )}
            </Panel>
            <div className="grid gap-4 desk:grid-cols-2">
              <Groups groups={book.groups} />
              {book.correlations ? <Matrix found={book.correlations} /> : null}
            </div>
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

function Toggle(props: { to: { look?: Look; colour?: Colour }; on: boolean; name: string; hint?: string }) {
  return (
    <Link
      to="/portfolio"
      search={(before) => ({ ...before, ...props.to })}
      aria-current={props.on ? "true" : undefined}
      className={`inline-flex h-7 items-center gap-1 rounded-control px-2 max-desk:h-11 ${props.on ? "bg-raised" : "text-muted hover:text-fg"}`}
    >
      {props.name}
      {props.hint ? (
        <kbd aria-hidden className="text-label text-muted">
          {props.hint}
        </kbd>
      ) : null}
    </Link>
  );
}

function KeyFigures({ book }: { book: Schemas["Portfolio"] }) {
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

const COLUMNS: readonly Column<Position>[] = [
  { name: "Symbol", cell: (one) => <span className="font-medium">{one.symbol}</span> },
  { name: "Group", cell: (one) => <span className="text-muted">{one.group ?? "none"}</span>, wide: true },
  { name: "Quantity", cell: (one) => plainNumber(one.quantity, 8), right: true, wide: true },
  { name: "Mark", cell: (one) => plainNumber(one.mark, 7), right: true, wide: true },
  { name: "Value", cell: (one) => <Money value={one.market_value} />, right: true },
  { name: "Weight", cell: (one) => <Percent value={one.weight} />, right: true },
  { name: "Target", cell: (one) => <Percent value={one.target_weight} />, right: true },
  { name: "Return", cell: (one) => <Percent value={one.unrealised_return} decimals={1} sign />, right: true },
  { name: "Risk", cell: (one) => <Percent value={one.risk_share} decimals={1} />, right: true, wide: true },
  { name: "Limited by", cell: (one) => <RuleLinks rules={one.limiting_rules} />, wide: true },
];

const CLIP = 0.2; // a return beyond ±20 % has the last colour

function colourOf(one: Position, colour: Colour, most: number): string {
  const value = numberOf(colour === "pnl" ? one.unrealised_return : one.risk_share);
  if (value === null) return "var(--raised)";
  const share = colour === "pnl" ? Math.max(-1, Math.min(1, value / CLIP)) : value / Math.max(most, 1e-9);
  const end = share < 0 ? "#b35806" : "#2166ac";
  return `color-mix(in srgb, ${end} ${Math.round(Math.abs(share) * 100)}%, #20262d)`;
}

function figureOf(one: Position, colour: Colour): string {
  return colour === "pnl" ? signed(percent(one.unrealised_return, 1)) : percent(one.risk_share, 1);
}

function wordsOf(one: Position, colour: Colour): string {
  const what = colour === "pnl" ? "return" : "risk";
  return `${one.symbol}, ${one.group ?? "no group"}: weight ${percent(one.weight)}, ${what} ${figureOf(one, colour)}`;
}

/** Area = weight, colour = what is chosen; the table beside it says the same in figures. */
function HeatMap({ positions, colour }: { positions: readonly Position[]; colour: Colour }) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (box.current === null) return;
    const watch = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  const height = width < 600 ? 420 : 380;
  type Node = { name: string; children?: Node[]; position?: Position };
  const groups = new Map<string, Node[]>();
  for (const one of positions) {
    const group = one.group ?? "none";
    groups.set(group, [...(groups.get(group) ?? []), { name: one.symbol, position: one }]);
  }
  const root = hierarchy<Node>({ name: "", children: [...groups].map(([name, children]) => ({ name, children })) })
    .sum((one) => Math.abs(numberOf(one.position?.weight) ?? 0))
    .sort((a, b) => (b.value ?? 0) - (a.value ?? 0));
  const leaves =
    width > 0 ? treemap<Node>().size([width, height]).paddingInner(2).paddingOuter(1).round(true)(root).leaves() : [];
  const most = Math.max(...positions.map((one) => numberOf(one.risk_share) ?? 0));
  return (
    <figure>
      <div ref={box} style={{ minHeight: height }}>
        <svg width={width} height={height} aria-hidden="true">
          {leaves.map((leaf) => {
            const one = leaf.data.position as Position;
            const [w, h] = [leaf.x1 - leaf.x0, leaf.y1 - leaf.y0];
            const figure = figureOf(one, colour);
            return (
              <g key={one.symbol} transform={`translate(${leaf.x0},${leaf.y0})`}>
                <title>{wordsOf(one, colour)}</title>
                <rect width={w} height={h} rx={3} fill={colourOf(one, colour, most)} />
                {w > 44 && h > 24 ? (
                  <text x={6} y={16} fill="#e6e8eb" fontSize={12} fontWeight={600}>
                    {one.symbol}
                  </text>
                ) : null}
                {w > 60 && h > 40 ? (
                  <text x={6} y={32} fill="#e6e8eb" fontSize={11}>
                    {figure}
                  </text>
                ) : null}
              </g>
            );
          })}
        </svg>
      </div>
      <ul className="sr-only">
        {positions.map((one) => (
          <li key={one.symbol}>{wordsOf(one, colour)}</li>
        ))}
      </ul>
      <figcaption className="mt-2 text-meta text-muted">
        Area = weight.{" "}
        {colour === "pnl"
          ? `Blue = gain, orange = loss, clipped at ±${percent(CLIP, 0)}.`
          : "Blue = share of the book's risk."}
      </figcaption>
    </figure>
  );
}

function Groups({ groups }: { groups: readonly Schemas["GroupExposure"][] }) {
  const most = Math.max(0.01, ...groups.map((one) => numberOf(one.gross) ?? 0));
  return (
    <Panel title="Exposure by group">
      {groups.length === 0 ? (
        <p className="py-2 text-muted">Nothing is held.</p>
      ) : (
        <ul className="grid gap-1.5">
          {[...groups]
            .sort((a, b) => (numberOf(b.gross) ?? 0) - (numberOf(a.gross) ?? 0))
            .map((one) => (
              <li
                key={one.group ?? ""}
                className="grid grid-cols-[minmax(0,1fr)_minmax(60px,1fr)_64px] items-center gap-3"
              >
                <span className="truncate">{one.group?.replaceAll("-", " ") ?? "no group"}</span>
                <span className="h-2 rounded-mark bg-raised">
                  <span
                    className="block h-2 rounded-mark bg-accent"
                    style={{ width: `${((numberOf(one.gross) ?? 0) / most) * 100}%` }}
                  />
                </span>
                <span className="text-right">
                  <Percent value={one.gross} decimals={1} />
                </span>
              </li>
            ))}
        </ul>
      )}
    </Panel>
  );
}

function Matrix({ found }: { found: Schemas["Correlations"] }) {
  const n = found.symbols.length;
  const size = 100 / Math.max(n, 1);
  return (
    <Panel title="Correlations">
      <svg
        viewBox="0 0 100 100"
        className="mx-auto aspect-square w-full max-w-md"
        role="img"
        aria-label={`Correlations of ${n} symbols; each cell says its figure on hover`}
      >
        {found.matrix.flatMap((row, i) =>
          row.map((value, j) => {
            const known = numberOf(value);
            const fill =
              known === null
                ? "var(--raised)"
                : `color-mix(in srgb, ${known < 0 ? "#b35806" : "#2166ac"} ${Math.round(Math.abs(known) * 100)}%, #20262d)`;
            return (
              <rect
                key={`${found.symbols[i]}-${found.symbols[j]}`}
                x={j * size}
                y={i * size}
                width={size * 0.94}
                height={size * 0.94}
                fill={fill}
              >
                <title>{`${found.symbols[i]} and ${found.symbols[j]}: ${known === null ? "unknown" : known.toFixed(2)}`}</title>
              </rect>
            );
          }),
        )}
      </svg>
      <p className="mt-2 text-meta text-muted">
        Rows and columns: {found.symbols.join(" ")}. Blue = together, orange = against each other.
      </p>
    </Panel>
  );
}
