import { expect, it } from "vitest";
import { besideOf } from "./beside";

it.each([
  ["charts/equity.svg", "runs/r-1/charts/equity.svg"],
  ["./a%20b.csv", "runs/r-1/a b.csv"],
  ["notes.md#top", "runs/r-1/notes.md"],
  ["deep/../x.json?v=1", "runs/r-1/x.json"],
])("%s is beside the document", (said, found) => {
  expect(besideOf("runs/r-1/report.md", said)).toBe(found);
});

it.each([
  undefined,
  "",
  "#top",
  "/etc/passwd",
  "//host/x.png",
  "\\\\host\\x.png",
  "https://host/x.png",
  "javascript:alert(1)",
  "data:image/png;base64,AA",
  "../r-2/report.md",
  "../../audit/x",
  "..%2f..%2faudit",
  "%zz.png",
])("%s names no file of its run", (said) => {
  expect(besideOf("runs/r-1/report.md", said)).toBeNull();
});
