import {
  AreaSeries,
  ColorType,
  createChart,
  type IChartApi,
  TickMarkType,
  type Time,
  type UTCTimestamp,
} from "lightweight-charts";
import { useEffect, useRef } from "react";
import { money } from "@/shared/format/numbers";
import { clock, day, instant, type Zone } from "@/shared/format/time";

export type Point = { at: string; value: number };

/** Equity over the decisions shown; the same figures are in the table of decisions. */
export default function EquityChart({
  points,
  hidden,
  theme,
  zone,
}: {
  points: readonly Point[];
  hidden: boolean;
  theme: string;
  zone: Zone;
}) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<IChartApi | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another theme paints it anew
  useEffect(() => {
    if (box.current === null) return;
    const style = getComputedStyle(document.documentElement);
    const color = (name: string) => style.getPropertyValue(name).trim();
    const made = createChart(box.current, {
      autoSize: true,
      layout: {
        background: { type: ColorType.Solid, color: color("--surface") },
        textColor: color("--muted"),
        fontFamily: "Inter Variable, sans-serif",
        fontSize: 11,
        attributionLogo: false,
      },
      grid: { vertLines: { visible: false }, horzLines: { color: color("--line") } },
      rightPriceScale: { borderVisible: false },
      timeScale: {
        borderVisible: false,
        tickMarkFormatter: (at: Time, type: TickMarkType) => tick(isoOf(at), type, zone),
      },
      handleScroll: false,
      handleScale: false,
      localization: {
        priceFormatter: (value: number) => (hidden ? "•••" : short(value)),
        timeFormatter: (at: Time) => instant(isoOf(at), zone),
      },
    });
    const series = made.addSeries(AreaSeries, {
      lineColor: color("--accent"),
      lineWidth: 2,
      topColor: `${color("--accent")}33`,
      bottomColor: `${color("--accent")}00`,
      priceLineVisible: false,
    });
    series.setData(
      points.map((one) => ({ time: (new Date(one.at).getTime() / 1000) as UTCTimestamp, value: one.value })),
    );
    made.timeScale().fitContent();
    chart.current = made;
    return () => made.remove();
  }, [points, hidden, theme, zone]);
  return <div ref={box} className="h-56 w-full" style={{ isolation: "isolate" }} />;
}

function isoOf(at: Time): string {
  return new Date(Number(at) * 1_000).toISOString();
}

/** What stands under a mark of the axis: the year, the month, the day or the time. */
function tick(at: string, type: TickMarkType, zone: Zone): string {
  const date = day(at, zone);
  if (type === TickMarkType.Year) return date.slice(0, 4);
  if (type === TickMarkType.Month) return date.slice(0, 7);
  return type === TickMarkType.DayOfMonth ? date.slice(5) : clock(at, zone).slice(0, 5);
}

function short(value: number): string {
  return Math.abs(value) >= 1e6 ? `${(value / 1e6).toFixed(3)}m` : money(value);
}
