import type { UseQueryResult } from "@tanstack/react-query";
import { act, render, screen } from "@testing-library/preact";
import { afterEach, expect, it, vi } from "vitest";
import { Loaded } from "./Panel";

const of = (state: Partial<UseQueryResult<string>>) =>
  ({
    data: undefined,
    error: null,
    failureReason: null,
    isError: false,
    isFetching: false,
    errorUpdateCount: 0,
    refetch: () => Promise.resolve(null),
    ...state,
  }) as unknown as UseQueryResult<string>;
const shown = (state: Partial<UseQueryResult<string>>) => <Loaded query={of(state)}>{(data) => <p>{data}</p>}</Loaded>;

afterEach(() => void vi.useRealTimers());

it("says what went wrong at once, while it is tried again", () => {
  const { rerender } = render(shown({ isFetching: true }));
  rerender(shown({ isFetching: true, failureReason: new Error("the store is down") }));
  expect(screen.getByRole("alert")).toHaveTextContent("The store is down.");
  expect(screen.getByRole("button", { name: "Try again" })).toBeDisabled();
  rerender(shown({ data: "there" }));
  expect(screen.queryByRole("alert")).toBeNull();
});

it("says what has failed until something comes, and of another question nothing", () => {
  const { rerender } = render(shown({ isFetching: true }));
  expect(screen.getByRole("status")).toHaveAccessibleName("Loading");
  rerender(shown({ isError: true, error: new Error("the store is down"), errorUpdateCount: 1 }));
  expect(screen.getByRole("button", { name: "Try again" })).toBeEnabled();
  rerender(shown({ isFetching: true, errorUpdateCount: 1 }));
  expect(screen.getByRole("alert")).toHaveTextContent("The store is down.");
  expect(screen.getByRole("button", { name: "Try again" })).toBeDisabled();
  rerender(shown({ data: "there", errorUpdateCount: 1 }));
  expect(screen.getByText("there")).toBeVisible();
  rerender(shown({ isError: true, error: new Error("the store is down"), errorUpdateCount: 1 }));
  rerender(shown({ isFetching: true }));
  expect(screen.queryByRole("alert")).toBeNull();
});

it("keeps what could not be read anew, with an age that goes on", () => {
  vi.useFakeTimers({ now: 100_000 });
  render(shown({ data: "there", dataUpdatedAt: 95_000, isError: true, error: new Error("the store is down") }));
  expect(screen.getByText("there")).toBeVisible();
  expect(screen.getByRole("alert")).toHaveTextContent("As of 5 s ago: the store is down");
  expect(screen.getByRole("timer"), "its seconds are not read out").toHaveTextContent("5 s");
  act(() => void vi.advanceTimersByTime(30_000));
  expect(screen.getByRole("alert")).toHaveTextContent("As of 35 s ago");
});
