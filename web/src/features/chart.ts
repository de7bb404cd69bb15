import { ColorType, createChart, type IChartApi, TickMarkType, type Time } from "lightweight-charts";
import { clock, day, instant, type Zone } from "@/shared/format/time";

export function colorOf(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** A chart in the colours of the theme: hairlines across only, axis at the right, nothing that can be dragged. */
export function calmChart(box: HTMLElement, zone: Zone, say?: (value: number) => string): IChartApi {
  return createChart(box, {
    autoSize: true,
    layout: {
      background: { type: ColorType.Solid, color: colorOf("--surface") },
      textColor: colorOf("--muted"),
      fontFamily: "Inter Variable, sans-serif",
      fontSize: 11,
      attributionLogo: false,
      panes: { separatorColor: colorOf("--line"), enableResize: false },
    },
    grid: { vertLines: { visible: false }, horzLines: { color: colorOf("--line") } },
    rightPriceScale: { borderVisible: false, ensureEdgeTickMarksVisible: false },
    timeScale: {
      borderVisible: false,
      tickMarkFormatter: (at: Time, type: TickMarkType) => tick(isoOf(at), type, zone),
    },
    localization: {
      timeFormatter: (at: Time) => instant(isoOf(at), zone),
      ...(say === undefined ? {} : { priceFormatter: say }),
    },
    handleScroll: false,
    handleScale: false,
  });
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
