import { ColorType, createChart, type DeepPartial, type IChartApi, type TimeChartOptions } from "lightweight-charts";

export function colorOf(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** A chart in the colours of the theme: hairlines across only, axis at the right, nothing that can be dragged. */
export function calmChart(box: HTMLElement, more: DeepPartial<TimeChartOptions> = {}): IChartApi {
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
    timeScale: { borderVisible: false },
    handleScroll: false,
    handleScale: false,
    ...more,
  });
}
