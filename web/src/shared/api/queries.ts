import { queryOptions } from "@tanstack/react-query";
import { answered, api, tagged } from "./client";

/** Everything the screens ask for: the first part of a key is what a message of the live channel makes old. */

const path = <T extends Record<string, string | number>>(more: T) => ({ params: { path: more } });

export const meQuery = queryOptions({
  queryKey: ["me"],
  queryFn: () => answered(api.GET("/api/v1/me")),
  staleTime: 60_000,
});

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

export const auditQuery = (firm: string, account: string | undefined, limit: number) =>
  queryOptions({
    queryKey: ["audit", firm, account ?? "", limit],
    queryFn: () =>
      answered(
        api.GET("/api/v1/firms/{firm}/audit/entries", {
          params: { path: { firm }, query: { limit, ...(account ? { account: `${firm}/${account}` } : {}) } },
        }),
      ),
  });

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
