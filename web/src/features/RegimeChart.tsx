import { type IChartApi, LineSeries, type UTCTimestamp } from "lightweight-charts";
import { useEffect, useMemo, useRef, useState } from "react";
import { plainNumber } from "@/shared/format/numbers";
import { calmChart, colorOf } from "./chart";
import { regimeLook, regimeShade, step } from "./regime";
import { type Band, bandsOf, labelBands, type Point } from "./ribbon";

type Props = {
  symbol: string;
  points: readonly Point[];
  light: boolean;
  zone: "utc" | "local";
  /** The bar under the cursor; null where there is none. */
  onBar: (bar: number | null) => void;
};

const LANE = 28;

/** Price with its regimes on a lane below, bar under bar; the table beside it says the same in figures. */
export default function RegimeChart({ symbol, points, light, zone, onBar }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [places, setPlaces] = useState<{ left: number; step: number } | null>(null);
  const [cursor, setCursor] = useState<number | null>(null);
  const priced = points.some((one) => one.close !== null);
  const told = useRef(onBar);
  told.current = onBar;
  // biome-ignore lint/correctness/useExhaustiveDependencies: another theme paints it anew
  useEffect(() => {
    if (box.current === null) return;
    const at = points.map((one) => (new Date(one.at).getTime() / 1000) as UTCTimestamp);
    const chart: IChartApi = calmChart(box.current, zone, (value) => plainNumber(value, 6));
    const line = chart.addSeries(LineSeries, {
      color: colorOf("--accent"),
      lineWidth: 2,
      priceLineVisible: false,
      lastValueVisible: priced,
    });
    line.setData(
      points.map((one, n) => {
        const time = at[n] as UTCTimestamp;
        return one.close === null ? { time } : { time, value: one.close };
      }),
    );
    chart.timeScale().fitContent();
    const measure = () => {
      const [first, second] = [0, 1].map((n) => chart.timeScale().logicalToCoordinate(n as never));
      if (first != null && second != null) setPlaces({ left: first, step: second - first });
    };
    chart.timeScale().subscribeSizeChange(() => {
      chart.timeScale().fitContent();
      requestAnimationFrame(measure);
    });
    requestAnimationFrame(measure);
    chart.subscribeCrosshairMove(({ logical }) => {
      const bar = logical === undefined || logical < 0 || logical >= points.length ? null : Math.round(logical);
      setCursor(bar);
      told.current(bar);
    });
    return () => chart.remove();
  }, [points, light, zone, priced]);
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would be a form
    <div role="group" aria-label={`Price of ${symbol} with its regimes; the table has the same figures`}>
      <div ref={box} className={priced ? "h-64 w-full" : "hidden"} style={{ isolation: "isolate" }} />
      <Lane points={points} light={light} places={priced ? places : null} cursor={cursor} />
    </div>
  );
}

/** Labels as bands, each with hue, pattern and, where there is room, its letter. */
function Lane({
  points,
  light,
  places,
  cursor,
}: {
  points: readonly Point[];
  light: boolean;
  places: { left: number; step: number } | null;
  cursor: number | null;
}) {
  const box = useRef<SVGSVGElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (box.current === null) return;
    const watch = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  const shades = useMemo(() => bandsOf(points, step), [points]);
  const letters = useMemo(() => labelBands(points), [points]);
  const { left, step: bar } = places ?? { left: width / points.length / 2, step: width / Math.max(points.length, 1) };
  const x = (n: number) => left + (n - 0.5) * bar;
  const wide = (one: Band) => (one.to - one.from) * bar;
  return (
    <svg ref={box} height={LANE} className="block w-full" aria-hidden="true" data-lane={letters.length}>
      <defs>
        <Patterns light={light} />
      </defs>
      {shades.map((one) => (
        <g key={one.from}>
          <rect
            x={x(one.from)}
            width={wide(one)}
            y={2}
            height={LANE - 4}
            fill={regimeShade(one.label, one.confidence, light).fill}
          />
          <rect
            x={x(one.from)}
            width={wide(one)}
            y={2}
            height={LANE - 4}
            fill={`url(#regime-${regimeLook(one.label).pattern})`}
          />
        </g>
      ))}
      {letters.map((one) =>
        wide(one) < 14 ? null : (
          <g key={one.from} transform={`translate(${x(one.from) + wide(one) / 2},${LANE / 2})`}>
            <rect x={-7} y={-8} width={14} height={16} rx={3} fill="var(--surface)" opacity={0.85} />
            <text textAnchor="middle" dominantBaseline="central" fontSize={11} fontWeight={600} fill="var(--fg)">
              {regimeLook(one.label).letter}
            </text>
          </g>
        ),
      )}
      {cursor === null ? null : (
        <line x1={x(cursor + 0.5)} x2={x(cursor + 0.5)} y1={0} y2={LANE} stroke="var(--fg)" strokeDasharray="3 3" />
      )}
    </svg>
  );
}

function Patterns({ light }: { light: boolean }) {
  const ink = light ? "#00000055" : "#ffffff55";
  return (
    <>
      <pattern id="regime-plain" width="8" height="8" patternUnits="userSpaceOnUse" />
      <pattern id="regime-steep" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
        <rect width="1.5" height="5" fill={ink} />
      </pattern>
      <pattern id="regime-level" width="5" height="5" patternUnits="userSpaceOnUse">
        <rect width="5" height="1.2" fill={ink} />
      </pattern>
      <pattern id="regime-dots" width="6" height="6" patternUnits="userSpaceOnUse">
        <circle cx="2" cy="2" r="1" fill={ink} />
      </pattern>
      <pattern id="regime-sparse" width="10" height="10" patternUnits="userSpaceOnUse" patternTransform="rotate(-45)">
        <rect width="1.5" height="10" fill={ink} />
      </pattern>
    </>
  );
}
