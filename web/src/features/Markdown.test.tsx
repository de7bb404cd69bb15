import { render, screen } from "@testing-library/preact";
import { expect, it } from "vitest";
import Markdown from "./Markdown";

const show = (text: string) => render(<Markdown file="runs/r-1/report.md" text={text} />).container;

it("HTML of a document stays text", () => {
  const shown = show(
    'Before <img src=x onerror="alert(1)"> <b>after</b>\n\n<script>alert(1)</script>\n\n<div onclick=x>y</div>',
  );
  expect(shown.querySelector("img, script, b, [onerror], [onclick]")).toBeNull();
  expect(shown).toHaveTextContent('<img src=x onerror="alert(1)">');
});

it("an address that is no web address is no link", () => {
  const shown = show("[a](javascript:alert(1)) [b](data:text/html,x) [c](https://example.com/)");
  expect([...shown.querySelectorAll("a")].map((one) => one.getAttribute("href"))).toEqual(["https://example.com/"]);
});

it("a picture from elsewhere is not fetched", () => {
  const shown = show("![Equity](https://example.com/a.png)");
  expect(shown.querySelector("img")).toBeNull();
  expect(shown).toHaveTextContent("Equity: not beside the document");
});

it("headings stand below the page's own, tables can be read by their head", () => {
  show("# Report\n\n## Part\n\n| a | b |\n|---|---|\n| 1 | 2 |");
  expect(screen.getByRole("heading", { name: "Report", level: 3 })).toBeVisible();
  expect(screen.getByRole("heading", { name: "Part", level: 4 })).toBeVisible();
  expect(screen.getByRole("columnheader", { name: "a" })).toBeVisible();
});
