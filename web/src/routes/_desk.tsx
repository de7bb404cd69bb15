import { createFileRoute, Outlet, redirect } from "@tanstack/react-router";
import { ApiProblem } from "@/shared/api/client";
import { meQuery } from "@/shared/api/queries";
import { Shell } from "@/shell/Shell";
import { ScopeProvider } from "@/shell/scope";

export const Route = createFileRoute("/_desk")({
  beforeLoad: async ({ context, location }) => {
    try {
      await context.queries.ensureQueryData(meQuery);
    } catch (error) {
      if (!(error instanceof ApiProblem) || error.status !== 401) throw error;
      throw redirect({ to: "/login", search: { next: location.href } });
    }
  },
  component: Desk,
});

function Desk() {
  const { live } = Route.useRouteContext();
  return (
    <ScopeProvider live={live}>
      <Shell>
        <Outlet />
      </Shell>
    </ScopeProvider>
  );
}
