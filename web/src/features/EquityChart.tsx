import { AreaSeries, LineStyle, type UTCTimestamp } from "lightweight-charts";
import { useEffect, useRef } from "react";
import { money, percent } from "@/shared/format/numbers";
import type { Zone } from "@/shared/format/time";
import { calmChart, colorOf } from "./chart";

export type Point = { at: string; value: number; drawdown: number | null };
/** A limit as a line of a pane: at which value, and who set it. */
export type Limit = { pane: "equity" | "drawdown"; at: number; title: string };

/** Equity over the decisions shown, drawdown under it; one crosshair goes through both. */
export default function EquityChart({
  points,
  limits,
  hidden,
  theme,
  zone,
}: {
  points: readonly Point[];
  limits: readonly Limit[];
  hidden: boolean;
  theme: string;
  zone: Zone;
}) {
  const box = useRef<HTMLDivElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another theme paints it anew
  useEffect(() => {
    if (box.current === null) return;
    const chart = calmChart(box.current, zone);
    const deepest = Math.min(-0.001, ...limits.filter((one) => one.pane === "drawdown").map((one) => one.at));
    const at = points.map((one) => (new Date(one.at).getTime() / 1000) as UTCTimestamp);
    const equity = chart.addSeries(AreaSeries, {
      lineColor: colorOf("--accent"),
      lineWidth: 2,
      topColor: `${colorOf("--accent")}33`,
      bottomColor: `${colorOf("--accent")}00`,
      priceLineVisible: false,
      priceFormat: { type: "custom", minMove: 0.01, formatter: (value: number) => (hidden ? "•••" : short(value)) },
    });
    equity.setData(points.map((one, n) => ({ time: at[n] as UTCTimestamp, value: one.value })));
    const drawdown = chart.addSeries(
      AreaSeries,
      {
        lineColor: colorOf("--loss"),
        lineWidth: 2,
        topColor: `${colorOf("--loss")}00`,
        bottomColor: `${colorOf("--loss")}33`,
        invertFilledArea: true,
        priceLineVisible: false,
        autoscaleInfoProvider: (own: () => { priceRange: { minValue: number; maxValue: number } | null } | null) => ({
          priceRange: { minValue: Math.min(deepest, own()?.priceRange?.minValue ?? 0) * 1.15, maxValue: 0 },
        }),
        priceFormat: { type: "custom", minMove: 0.0001, formatter: (value: number) => percent(value, 1) },
      },
      1,
    );
    drawdown.setData(
      points.map((one, n) => {
        const time = at[n] as UTCTimestamp;
        return one.drawdown === null ? { time } : { time, value: -one.drawdown };
      }),
    );
    for (const one of limits) {
      (one.pane === "equity" ? equity : drawdown).createPriceLine({
        price: one.at,
        color: colorOf("--safety"),
        lineStyle: LineStyle.Dashed,
        lineWidth: 1,
        title: one.title,
        axisLabelVisible: true,
      });
    }
    chart.panes()[0]?.setStretchFactor(3);
    chart.panes()[1]?.setStretchFactor(1.4);
    chart.timeScale().fitContent();
    return () => chart.remove();
  }, [points, limits, hidden, theme, zone]);
  return <div ref={box} className="h-72 w-full" style={{ isolation: "isolate" }} />;
}

/** Millions short, with as many decimals as tell the ticks apart. */
function short(value: number): string {
  return Math.abs(value) >= 1e6 ? `${(value / 1e6).toFixed(3)}m` : money(value);
}
