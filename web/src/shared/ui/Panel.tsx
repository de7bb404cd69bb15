import type { UseQueryResult } from "@tanstack/react-query";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { ApiProblem, Unreachable } from "../api/client";
import { useNow } from "../clock";
import { span } from "../format/time";
import { sentence } from "../format/words";
import { Button } from "./Button";
import { cx } from "./cx";
import { Ticking } from "./Figure";

type PanelProps = { title: string; children: ReactNode; aside?: ReactNode; className?: string };

export function Panel({ title, children, aside, className }: PanelProps) {
  return (
    <section aria-label={title} className={cx("min-w-0 rounded-panel border border-line bg-surface", className)}>
      <header className="flex min-h-10 flex-wrap items-center gap-x-3 gap-y-1 px-4 pt-2">
        <h2 className="mr-auto text-section font-semibold">{title}</h2>
        {aside}
      </header>
      <div className="px-4 pt-1 pb-4">{children}</div>
    </section>
  );
}

type LoadedProps<T> = {
  query: UseQueryResult<T>;
  children: (data: T) => ReactNode;
  /** Height of what will be there, so that nothing moves when it comes. */
  height?: number;
  empty?: { when: (data: T) => boolean; why: ReactNode };
};

/** What went wrong with a question, from the first try that failed until something comes, also while it is tried again. */
export function useFailure(query: UseQueryResult<unknown>): Error | null {
  const failed = useRef<Error | null>(null);
  const reason = query.error ?? query.failureReason; // the first that went wrong, while the next are tried
  if (reason || query.errorUpdateCount === 0 || query.data !== undefined) failed.current = reason;
  return failed.current;
}

/** The four states of a widget: loading, failed, empty, there. */
export function Loaded<T>({ query, children, height = 96, empty }: LoadedProps<T>) {
  const failure = useFailure(query);
  if (query.data !== undefined) {
    return <Kept query={query}>{empty?.when(query.data) ? <Empty>{empty.why}</Empty> : children(query.data)}</Kept>;
  }
  if (failure) return <Failed error={failure} retry={query.refetch} trying={query.isFetching} />;
  return <Waiting height={height} />;
}

/** What is there: where it could not be read anew it stays, grey and with its age. */
export function Kept({ query, children }: { query: UseQueryResult<unknown>; children: ReactNode }) {
  const old =
    query.isError && query.data !== undefined ? (
      <Old at={query.dataUpdatedAt} error={query.error} retry={query.refetch} />
    ) : null;
  return (
    <>
      {old}
      <div className={cx(old && "opacity-60 grayscale")}>{children}</div>
    </>
  );
}

function Waiting({ height }: { height: number }) {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 150);
    return () => clearTimeout(timer);
  }, []);
  return (
    <div role="status" aria-label="Loading" style={{ height }} className={cx("rounded-control", late && "bg-raised")} />
  );
}

export function Empty({ children }: { children: ReactNode }) {
  return <p className="py-4 text-muted">{children}</p>;
}

type FailedProps = { error: Error; retry?: () => unknown; trying?: boolean };

export function Failed({ error, retry, trying = false }: FailedProps) {
  const problem = error instanceof ApiProblem ? error : null;
  if (problem?.code === "no_role") return <p className="py-2 text-muted">{sentence(problem.message)}</p>;
  return (
    <div role="alert" className="flex flex-wrap items-center gap-3 py-2">
      <p className="mr-auto">
        {sentence(error.message)}{" "}
        <span className="text-muted">
          {error instanceof Unreachable
            ? "The engine and its guards go on without this screen."
            : problem?.status === 404
              ? "It does not exist, or not for you."
              : /nothing was changed/i.test(error.message)
                ? ""
                : "Nothing was changed."}
          {problem?.requestId ? ` Request ${problem.requestId}.` : ""}
        </span>
      </p>
      {retry ? (
        <Button disabled={trying} onClick={() => void retry()}>
          Try again
        </Button>
      ) : null}
    </div>
  );
}

function Old({ at, error, retry }: { at: number; error: Error; retry: () => unknown }) {
  const now = useNow(Date.now);
  return (
    <div role="alert" className="mb-2 flex items-center gap-2 rounded-control border border-warn px-2 py-1 text-meta">
      <span className="mr-auto">
        As of <Ticking>{span(Math.max(0, now - at) / 1_000)}</Ticking> ago: {error.message}
      </span>
      <Button kind="quiet" className="h-6 max-desk:h-9" onClick={() => void retry()}>
        Try again
      </Button>
    </div>
  );
}
