import { AreaSeries, ColorType, createChart, type IChartApi, type UTCTimestamp } from "lightweight-charts";
import { useEffect, useRef } from "react";
import { money } from "@/shared/format/numbers";

export type Point = { at: string; value: number };

/** Equity over the decisions shown; the same figures are in the table of decisions. */
export default function EquityChart({
  points,
  hidden,
  theme,
}: {
  points: readonly Point[];
  hidden: boolean;
  theme: string;
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
      timeScale: { borderVisible: false },
      handleScroll: false,
      handleScale: false,
      localization: { priceFormatter: (value: number) => (hidden ? "•••" : short(value)) },
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
  }, [points, hidden, theme]);
  return <div ref={box} className="h-56 w-full" style={{ isolation: "isolate" }} />;
}

function short(value: number): string {
  return Math.abs(value) >= 1e6 ? `${(value / 1e6).toFixed(3)}m` : money(value);
}
