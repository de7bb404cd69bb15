import "@/shared/effects";
import "./styles.css";
import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createRouter, RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { routeTree } from "./routeTree.gen";
import { ApiProblem } from "./shared/api/client";
import { door } from "./shared/api/door";
import { copies } from "./shared/copy";
import { followSystem, showTheme } from "./shared/prefs";
import { renew, startWorker } from "./shell/update";

const heard = (error: Error) => {
  if (error instanceof ApiProblem && error.code === "sign_in") door.set(true);
};
const queries = new QueryClient({
  queryCache: new QueryCache({
    onError: heard,
    onSuccess: (_, query) => query.queryKey[0] === "me" && door.set(false),
  }),
  mutationCache: new MutationCache({ onError: heard }),
  defaultOptions: {
    queries: {
      staleTime: 15_000,
      refetchInterval: 60_000,
      refetchOnWindowFocus: true,
      networkMode: "always",
      retry: (failures, error) =>
        !(error instanceof ApiProblem && error.status < 500) && failures < 2 && navigator.onLine,
    },
    mutations: { retry: false, networkMode: "always" },
  },
});
copies.follow(queries);

const router = createRouter({
  routeTree,
  context: { queries },
  search: { strict: true }, // what no page declares is dropped, never passed on
  defaultPreload: "intent",
  defaultPreloadStaleTime: 0,
  scrollRestoration: true,
});

// The page's own code comes while it is asked who is there.
for (const { routeId } of router.matchRoutes(router.latestLocation)) {
  void router.loadRouteChunk(router.routesById[routeId as keyof typeof router.routesById])?.catch(() => undefined);
}

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}

window.addEventListener("vite:preloadError", () => void renew());

showTheme();
followSystem();
startWorker();
const root = document.getElementById("root");
if (root === null) throw new Error("no #root");
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  </StrictMode>,
);
