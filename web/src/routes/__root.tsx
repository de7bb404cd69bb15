import type { QueryClient } from "@tanstack/react-query";
import { createRootRouteWithContext, Link, Outlet, retainSearchParams } from "@tanstack/react-router";
import { Failed } from "@/shared/ui/Panel";

export type Context = { queries: QueryClient };
export type Search = { firm?: string; account?: string };

const ID = /^[a-z0-9][a-z0-9_-]{0,63}$/;

export const Route = createRootRouteWithContext<Context>()({
  validateSearch: (said: Record<string, unknown>): Search => ({
    ...(typeof said.firm === "string" && ID.test(said.firm) ? { firm: said.firm } : {}),
    ...(typeof said.account === "string" && ID.test(said.account) ? { account: said.account } : {}),
  }),
  search: { middlewares: [retainSearchParams(["firm", "account"])] },
  component: Outlet,
  errorComponent: ({ error, reset }) => (
    <main className="p-6">
      <h1 className="text-section font-semibold">This page failed</h1>
      <Failed error={error as Error} retry={reset} />
    </main>
  ),
  notFoundComponent: () => (
    <main className="p-6">
      <h1 className="text-section font-semibold">No such page</h1>
      <p className="text-muted">
        <Link to="/overview" className="text-accent underline">
          Go to the overview
        </Link>
        , or press Ctrl K.
      </p>
    </main>
  ),
});
