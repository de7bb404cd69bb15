import {
  CatchBoundary,
  createFileRoute,
  type ErrorComponentProps,
  Outlet,
  redirect,
  useRouterState,
} from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useState } from "react";
import { ApiProblem, Unreachable } from "@/shared/api/client";
import { meQuery } from "@/shared/api/me";
import { accountsQuery, approvalsQuery, liveQuery } from "@/shared/api/queries";
import { LiveStore } from "@/shared/live/store";
import { Failed } from "@/shared/ui/Panel";
import { Shell } from "@/shell/Shell";
import { askAhead, ScopeProvider } from "@/shell/scope";

const OfflineCopy = lazy(() => import("@/shell/OfflineCopy"));

export const Route = createFileRoute("/_desk")({
  beforeLoad: async ({ context, location }) => {
    try {
      await context.queries.ensureQueryData(meQuery);
    } catch (error) {
      if (!(error instanceof ApiProblem) || error.status !== 401) throw error;
      throw redirect({ to: "/login", search: { next: location.href } });
    }
  },
  loader: ({ context, location }) =>
    askAhead(context.queries, location.search, (firm) => [accountsQuery(firm), liveQuery(firm), approvalsQuery(firm)]),
  staleTime: Number.POSITIVE_INFINITY, // asked once: what shows it keeps it fresh
  codeSplitGroupings: [["component", "loader"]],
  component: Desk,
  errorComponent: Broken,
});

function Broken(props: ErrorComponentProps) {
  return props.error instanceof Unreachable ? (
    <Suspense fallback={null}>
      <OfflineCopy />
    </Suspense>
  ) : (
    <main className="p-6">
      <BrokenPage {...props} />
    </main>
  );
}

/** One page that fails takes nothing else with it: halt stays where it is. */
function BrokenPage({ error, reset }: ErrorComponentProps) {
  return (
    <>
      <h1 className="text-section font-semibold">This page failed</h1>
      <Failed error={error as Error} retry={reset} />
    </>
  );
}

function Desk() {
  const { queries } = Route.useRouteContext();
  const [live] = useState(() => new LiveStore(queries));
  const at = useRouterState({ select: (state) => state.location.href });
  const [framed, setFramed] = useState(false);
  useEffect(() => setFramed(true), []); // after the frame is painted: halt is there first
  return (
    <ScopeProvider live={live}>
      <Shell>
        <CatchBoundary getResetKey={() => at} errorComponent={BrokenPage}>
          {framed ? <Outlet /> : null}
        </CatchBoundary>
      </Shell>
    </ScopeProvider>
  );
}
