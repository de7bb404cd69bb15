import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas, tagged } from "./client";

export { meQuery } from "./me";

/** Everything the screens ask for: the first part of a key is what a message of the live channel makes old. */

const path = <T extends Record<string, string | number>>(more: T) => ({ params: { path: more } });

export const sessionQuery = queryOptions({
  queryKey: ["session"],
  queryFn: () => answered(api.GET("/api/v1/session")),
});

export const accountsQuery = (firm: string) =>
  queryOptions({
    queryKey: ["accounts", firm],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/accounts", path({ firm }))),
  });

export const boardQuery = (firm: string, account: string) =>
  queryOptions({
    queryKey: ["constraints", firm, account],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/accounts/{account}/constraints", path({ firm, account }))),
  });

export const constraintQuery = (firm: string, account: string, rule_id: string) =>
  queryOptions({
    queryKey: ["constraints", firm, account, rule_id],
    queryFn: () =>
      answered(
        api.GET("/api/v1/firms/{firm}/accounts/{account}/constraints/{rule_id}", path({ firm, account, rule_id })),
      ),
  });

export const breachesQuery = (firm: string) =>
  queryOptions({
    queryKey: ["breaches", firm],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/breaches", path({ firm }))),
  });

export const constraintHistoryQuery = (firm: string, account: string, rule_id: string) =>
  queryOptions({
    queryKey: ["constraints", firm, account, rule_id, "history"],
    queryFn: () =>
      answered(
        api.GET("/api/v1/firms/{firm}/accounts/{account}/constraints/{rule_id}/history", {
          params: { path: { firm, account, rule_id }, query: { limit: 200 } },
        }),
      ),
  });

export const portfolioQuery = (firm: string, account: string) =>
  queryOptions({
    queryKey: ["portfolio", firm, account],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/accounts/{account}/portfolio", path({ firm, account }))),
  });

export const decisionsQuery = (firm: string, account: string | undefined, limit: number) =>
  queryOptions({
    queryKey: ["decisions", firm, account ?? "", limit],
    queryFn: () =>
      answered(
        api.GET("/api/v1/firms/{firm}/decisions", {
          params: { path: { firm }, query: { limit, ...(account ? { account: `${firm}/${account}` } : {}) } },
        }),
      ),
  });

export const decisionQuery = (firm: string, account: string, decision_id: string) =>
  queryOptions({
    queryKey: ["decision", firm, account, decision_id],
    queryFn: () =>
      answered(
        api.GET(
          "/api/v1/firms/{firm}/accounts/{account}/decisions/{decision_id}",
          path({ firm, account, decision_id }),
        ),
      ),
    staleTime: Number.POSITIVE_INFINITY,
  });

export const regimesQuery = (firm: string) =>
  queryOptions({
    queryKey: ["regimes", firm],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/regimes", path({ firm }))),
  });

export const regimeQuery = (firm: string, symbol: string, bars: number) =>
  queryOptions({
    queryKey: ["regimes", firm, symbol, bars],
    queryFn: () =>
      answered(
        api.GET("/api/v1/firms/{firm}/regimes/{symbol}", { params: { path: { firm, symbol }, query: { bars } } }),
      ),
  });

export const tapeQuery = (firm: string) =>
  queryOptions({
    queryKey: ["regimes", firm, "tape"],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/tape", path({ firm }))),
  });

export const approvalsQuery = (firm: string) =>
  queryOptions({
    queryKey: ["approvals", firm],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/approvals", path({ firm }))),
  });

export const approvalQuery = (firm: string, request_id: string) =>
  queryOptions({
    queryKey: ["approvals", firm, request_id],
    queryFn: () => tagged(api.GET("/api/v1/firms/{firm}/approvals/{request_id}", path({ firm, request_id }))),
  });

export const liveQuery = (firm: string) =>
  queryOptions({
    queryKey: ["live", firm],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/live", path({ firm }))),
  });

export const controlsQuery = (firm: string) =>
  queryOptions({
    queryKey: ["controls", firm],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/controls", path({ firm }))),
  });

export const jobsQuery = (firm: string) =>
  queryOptions({
    queryKey: ["jobs", firm],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/jobs", path({ firm }))),
  });

/** Entries of the record page by page, the newest first; filters are named as the API names them. */
export const entriesQuery = (firm: string, filters: Record<string, string | string[]>) =>
  infiniteQueryOptions({
    queryKey: ["audit", firm, "entries", filters],
    queryFn: ({ pageParam }) =>
      answered(
        api.GET("/api/v1/firms/{firm}/audit/entries", {
          params: { path: { firm }, query: { ...filters, limit: 100, ...(pageParam ? { cursor: pageParam } : {}) } },
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

export const entryQuery = (firm: string, chain_id: string, seq: number) =>
  queryOptions({
    queryKey: ["entry", firm, chain_id, seq],
    queryFn: () =>
      answered(api.GET("/api/v1/firms/{firm}/audit/entry", { params: { path: { firm }, query: { chain_id, seq } } })),
  });

export const reachQuery = (firm: string) =>
  queryOptions({
    queryKey: ["verification", firm, "reach"],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/audit/reach", path({ firm }))),
  });

export const verificationQuery = (firm: string) =>
  queryOptions({
    queryKey: ["verification", firm],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/audit/verification", path({ firm }))),
    refetchInterval: ({ state }) => (isAtWork(state.data?.job) ? 2_000 : 60_000),
  });

export const registersQuery = (firm: string) =>
  queryOptions({
    queryKey: ["registers", firm],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/audit/registers", path({ firm }))),
    staleTime: Number.POSITIVE_INFINITY,
    refetchInterval: false,
  });

/** One register; instants are ISO 8601 text. */
export const registerQuery = (firm: string, name: string, asked: { account?: string; from?: string; to?: string }) =>
  queryOptions({
    queryKey: ["audit", firm, "register", name, asked],
    queryFn: () =>
      answered(
        api.GET("/api/v1/firms/{firm}/audit/registers/{name}", {
          params: { path: { firm, name }, query: asked as Record<string, never> },
        }),
      ),
  });

/** Asks for a fresh proof of identity, so it is read when somebody looks; while one is made, again and again. */
export const exportsQuery = (firm: string) =>
  queryOptions({
    queryKey: ["exports", firm],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/audit/exports", path({ firm }))),
    refetchInterval: ({ state }) => (state.data?.items.some((one) => isAtWork(one.job)) ? 2_000 : false),
    refetchOnWindowFocus: false,
  });

function isAtWork(job: Schemas["JobOut"] | null | undefined): boolean {
  return job?.status === "queued" || job?.status === "running" || job?.status === "cancelling";
}

export const catalogueQuery = queryOptions({
  queryKey: ["commands"],
  queryFn: () => answered(api.GET("/api/v1/commands")),
  staleTime: Number.POSITIVE_INFINITY,
});

export const runsQuery = (firm: string) =>
  queryOptions({
    queryKey: ["runs", firm],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/runs", path({ firm }))),
  });

export const runQuery = (firm: string, run_id: string) =>
  queryOptions({
    queryKey: ["runs", firm, run_id],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/runs/{run_id}", path({ firm, run_id }))),
  });

export const treeQuery = (firm: string, run_id: string) =>
  queryOptions({
    queryKey: ["runs", firm, run_id, "files"],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/runs/{run_id}/artifacts", path({ firm, run_id }))),
  });

export const refusalsQuery = (firm: string) =>
  queryOptions({
    queryKey: ["audit", firm, "refusals"],
    queryFn: () =>
      answered(
        api.GET("/api/v1/firms/{firm}/audit/entries", {
          params: { path: { firm }, query: { kind: ["DENIED"], limit: 10 } },
        }),
      ),
  });

export const jobQuery = (firm: string, job_id: string) =>
  queryOptions({
    queryKey: ["job", firm, job_id],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/jobs/{job_id}", path({ firm, job_id }))),
  });

export const jobLogQuery = (firm: string, job_id: string) =>
  queryOptions({
    queryKey: ["job", firm, job_id, "log"],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/jobs/{job_id}/log", path({ firm, job_id }))),
  });

export const artifactQuery = (firm: string, file: string) =>
  queryOptions({
    queryKey: ["artifact", firm, file],
    queryFn: () =>
      answered(
        api.GET("/api/v1/firms/{firm}/artifacts/preview", { params: { path: { firm }, query: { path: file } } }),
      ),
    staleTime: 300_000,
    refetchInterval: false,
  });

export const rlQuery = (firm: string, account: string | undefined, env: string) =>
  queryOptions({
    queryKey: ["rl", firm, account ?? "", env],
    queryFn: () =>
      answered(
        api.GET("/api/v1/firms/{firm}/rl", {
          params: { path: { firm }, query: { env, ...(account ? { account: `${firm}/${account}` } : {}) } },
        }),
      ),
  });

export const currentConfigQuery = (firm: string) =>
  queryOptions({
    queryKey: ["configs", firm, "current"],
    queryFn: () => tagged(api.GET("/api/v1/firms/{firm}/configs/current", path({ firm }))),
  });

export const versionsQuery = (firm: string) =>
  queryOptions({
    queryKey: ["configs", firm],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/configs", path({ firm }))),
  });

export const versionQuery = (firm: string, version: number) =>
  queryOptions({
    queryKey: ["configs", firm, version],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/configs/{version}", path({ firm, version }))),
  });

export const configDiffQuery = (firm: string, from: number, to: number) =>
  queryOptions({
    queryKey: ["configs", firm, "diff", from, to],
    queryFn: () =>
      answered(api.GET("/api/v1/firms/{firm}/configs/diff", { params: { path: { firm }, query: { from, to } } })),
    staleTime: 300_000,
    refetchInterval: false,
  });

export const configSchemaQuery = (firm: string) =>
  queryOptions({
    queryKey: ["config-schema", firm],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/configs/schema", path({ firm }))),
    staleTime: Number.POSITIVE_INFINITY,
    refetchInterval: false,
  });

export const basketsQuery = (firm: string) =>
  queryOptions({
    queryKey: ["baskets", firm],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/baskets", path({ firm }))),
  });

export const candidatesQuery = (firm: string, basket: string) =>
  queryOptions({
    queryKey: ["regimes", firm, "candidates", basket],
    queryFn: () =>
      answered(api.GET("/api/v1/firms/{firm}/proposals/candidates", { params: { path: { firm }, query: { basket } } })),
  });

export const proposalsQuery = (firm: string) =>
  queryOptions({
    queryKey: ["proposals", firm],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/proposals", path({ firm }))),
  });

export const proposalQuery = (firm: string, proposal_id: string) =>
  queryOptions({
    queryKey: ["proposals", firm, proposal_id],
    queryFn: () => tagged(api.GET("/api/v1/firms/{firm}/proposals/{proposal_id}", path({ firm, proposal_id }))),
  });

export const peopleQuery = (firm: string) =>
  queryOptions({
    queryKey: ["people", firm],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/users", path({ firm }))),
  });

/** One person; a change of them names them as they were. */
export const personQuery = (firm: string, user_id: string) =>
  queryOptions({
    queryKey: ["people", firm, user_id],
    queryFn: () => tagged(api.GET("/api/v1/firms/{firm}/users/{user_id}", path({ firm, user_id }))),
  });

/** Asks for a fresh proof of identity, so it is read when somebody looks and not by itself. */
export const firmTokensQuery = (firm: string) =>
  queryOptions({
    queryKey: ["tokens", firm, "all"],
    queryFn: () => answered(api.GET("/api/v1/firms/{firm}/tokens", path({ firm }))),
    refetchInterval: false,
    refetchOnWindowFocus: false,
  });

export const tokensQuery = (firm: string) =>
  queryOptions({
    queryKey: ["tokens", firm],
    queryFn: () => answered(api.GET("/api/v1/me/firms/{firm}/tokens", path({ firm }))),
  });

export const factorsQuery = queryOptions({
  queryKey: ["factors"],
  queryFn: () => answered(api.GET("/api/v1/me/factors")),
});

export const sessionsQuery = queryOptions({
  queryKey: ["sessions"],
  queryFn: () => answered(api.GET("/api/v1/me/sessions")),
});

/** Decisions before those that the channel tells of, page by page; filters are named as the API names them. */
export const pastDecisionsQuery = (firm: string, filters: Record<string, string>) =>
  infiniteQueryOptions({
    queryKey: ["past-decisions", firm, filters],
    queryFn: ({ pageParam }) =>
      answered(
        api.GET("/api/v1/firms/{firm}/decisions", {
          params: { path: { firm }, query: { ...filters, limit: 100, ...(pageParam ? { cursor: pageParam } : {}) } },
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    refetchInterval: false,
    refetchOnWindowFocus: false,
  });
