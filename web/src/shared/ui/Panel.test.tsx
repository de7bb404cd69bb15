import type { UseQueryResult } from "@tanstack/react-query";
import { render, screen } from "@testing-library/preact";
import { expect, it } from "vitest";
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
