import { LineSeries, LineStyle, type UTCTimestamp } from "lightweight-charts";
import { useEffect, useRef } from "react";
import { percent } from "@/shared/format/numbers";
import type { Zone } from "@/shared/format/time";
import { calmChart, colorOf } from "./chart";

export type Use = { at: string; used: number | null };
export type Line = { at: number; title: string; tone: "safety" | "warn" };

/** How much of a limit was used, decision by decision, with the lines where the rule warns, acts and binds. */
export default function UseChart({
  points,
  lines,
  light,
  zone,
}: {
  points: readonly Use[];
  lines: readonly Line[];
  light: boolean;
  zone: Zone;
}) {
  const box = useRef<HTMLDivElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another theme paints it anew
  useEffect(() => {
    if (box.current === null) return;
    const chart = calmChart(box.current, zone, (value) => percent(value, 0));
    const line = chart.addSeries(LineSeries, {
      color: colorOf("--accent"),
      lineWidth: 2,
      priceLineVisible: false,
      autoscaleInfoProvider: (own: () => { priceRange: { minValue: number; maxValue: number } | null } | null) => {
        const range = own()?.priceRange;
        return {
          priceRange: { minValue: Math.min(0, range?.minValue ?? 0), maxValue: Math.max(1.1, range?.maxValue ?? 0) },
        };
      },
    });
    line.setData(
      points.map(({ at, used }) => {
        const time = (new Date(at).getTime() / 1000) as UTCTimestamp;
        return used === null ? { time } : { time, value: used };
      }),
    );
    for (const one of lines) {
      line.createPriceLine({
        price: one.at,
        color: colorOf(`--${one.tone}`),
        lineStyle: LineStyle.Dashed,
        lineWidth: 1,
        title: one.title,
        axisLabelVisible: true,
      });
    }
    chart.timeScale().fitContent();
    return () => chart.remove();
  }, [points, lines, light, zone]);
  return <div ref={box} className="h-52 w-full" style={{ isolation: "isolate" }} />;
}
