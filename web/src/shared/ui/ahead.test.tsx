import { act, render, screen } from "@testing-library/preact";
import { Suspense } from "react";
import { expect, it } from "vitest";
import { ahead } from "./ahead";

const load = () => Promise.resolve({ default: ({ text }: { text: string }) => <p>{text}</p> });
const shown = (Part: ReturnType<typeof ahead<{ text: string }>>["Part"]) =>
  render(
    <Suspense fallback="waits">
      <Part text="there" />
    </Suspense>,
  );

it("is there in the first frame once its file is", async () => {
  const { Part, fetched } = ahead(load);
  await fetched();
  shown(Part);
  expect(screen.getByText("there")).toBeVisible();
});

it("comes by itself where nobody has fetched it", async () => {
  const { Part } = ahead(load);
  shown(Part);
  expect(screen.getByText("waits")).toBeVisible();
  await act(async () => undefined);
  expect(await screen.findByText("there")).toBeVisible();
});
