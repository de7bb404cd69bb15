import { render, screen } from "@testing-library/preact";
import { useEffect, useState } from "react";
import { expect, it } from "vitest";
import "./effects";

function Line({ kept }: { kept: string[] }) {
  const [text, setText] = useState("");
  useEffect(() => {
    if (text) kept.push(text);
  }, [text, kept]);
  return <input aria-label="line" value={text} onChange={(event) => setText(event.target.value)} />;
}

it("an effect of what was typed has run when the next key is heard, though no frame was painted", async () => {
  const kept: string[] = [];
  render(<Line kept={kept} />);
  const line = screen.getByLabelText<HTMLInputElement>("line");
  let seen: string[] = [];
  line.addEventListener("keydown", () => {
    seen = [...kept];
  });
  line.value = "/theme light";
  line.dispatchEvent(new Event("input", { bubbles: true }));
  await Promise.resolve(); // rendered, not painted
  await Promise.resolve();
  line.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  expect(seen).toEqual(["/theme light"]);
});
