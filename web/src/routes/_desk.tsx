import { createFileRoute, Outlet, redirect } from "@tanstack/react-router";
import { useState } from "react";
import { ApiProblem } from "@/shared/api/client";
import { meQuery } from "@/shared/api/me";
import { LiveStore } from "@/shared/live/store";
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
  const { queries } = Route.useRouteContext();
  const [live] = useState(() => new LiveStore(queries));
  return (
    <ScopeProvider live={live}>
      <Shell>
        <Outlet />
      </Shell>
    </ScopeProvider>
  );
}
