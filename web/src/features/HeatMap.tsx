import { hierarchy, treemap } from "d3-hierarchy";
import { useEffect, useMemo, useRef, useState } from "react";
import type { Schemas } from "@/shared/api/client";
import { money as fixed, numberOf, percent, signed } from "@/shared/format/numbers";
import { CLIPS, type Colour, fits, nameOf, shownOf } from "./book";
import { diverging, inkOn, middle } from "./colour";
import { useLight } from "./theme";

type Position = Schemas["PositionRow"];

export function figureOf(one: Position, colour: Colour, withBook: ReadonlyMap<string, number>): string {
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

type Props = {
  positions: readonly Position[];
  colour: Colour;
  withBook: ReadonlyMap<string, number>;
  onSymbol: (symbol: string) => void;
};

/** Area = weight, colour = what is chosen; the table beside it says the same in figures. */
export function HeatMap({ positions, colour, withBook, onSymbol }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const light = useLight();
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
                onClick={() => onSymbol(one.symbol)}
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
