import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, Link, useNavigate } from "@tanstack/react-router";
import { useRef, useState } from "react";
import { fraction } from "@/features/basket";
import { PreChecks } from "@/features/precheck";
import { RegimeMark } from "@/features/regime";
import { PROPOSAL_TONES } from "@/features/tones";
import { answered, api, newKey, type Schemas } from "@/shared/api/client";
import { basketsQuery, candidatesQuery, proposalsQuery } from "@/shared/api/queries";
import { percent, plainNumber } from "@/shared/format/numbers";
import { Button } from "@/shared/ui/Button";
import { Chip } from "@/shared/ui/Chip";
import { Percent, Time } from "@/shared/ui/Figure";
import { Page } from "@/shared/ui/Page";
import { Empty, Loaded, Panel } from "@/shared/ui/Panel";
import { type Column, Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";

export const Route = createFileRoute("/_desk/basket/")({
  validateSearch: (said: Record<string, unknown>): { basket?: string } =>
    typeof said.basket === "string" && said.basket.length <= 40 ? { basket: said.basket } : {},
  component: Baskets,
});

function Baskets() {
  const { firm } = useScope();
  const { basket } = Route.useSearch();
  const baskets = useQuery({ ...basketsQuery(firm), enabled: firm !== "" });
  const proposals = useQuery({ ...proposalsQuery(firm), enabled: firm !== "" });
  return (
    <Page title="Baskets">
      <div className="grid gap-4">
        <Panel title="Proposals">
          <Loaded
            query={proposals}
            height={100}
            empty={{ when: (d) => d.items.length === 0, why: "No proposal open. Start from a basket below." }}
          >
            {(data) => (
              <Table
                label="Proposals, the newest first"
                columns={PROPOSALS}
                rows={data.items}
                keyOf={(one) => one.proposal_id}
              />
            )}
          </Loaded>
        </Panel>
        <Loaded
          query={baskets}
          height={400}
          empty={{ when: (d) => d.length === 0, why: "No account you may see follows a basket." }}
        >
          {(all) => {
            const shown = all.find((one) => one.name === basket) ?? all[0];
            return (
              <div className="grid gap-4">
                <nav aria-label="Baskets" className="flex flex-wrap gap-2">
                  {all.map((one) => (
                    <Link
                      key={one.name}
                      to="/basket"
                      search={(before) => ({ ...before, basket: one.name })}
                      aria-current={one.name === shown?.name ? "true" : undefined}
                      className={`inline-flex h-8 items-center rounded-control border px-3 max-desk:h-11 ${one.name === shown?.name ? "border-accent" : "border-line text-muted"}`}
                    >
                      {one.name}
                    </Link>
                  ))}
                </nav>
                {shown ? <OneBasket key={shown.name} basket={shown} /> : null}
              </div>
            );
          }}
        </Loaded>
      </div>
    </Page>
  );
}

const PROPOSALS: readonly Column<Schemas["ProposalOut"]>[] = [
  {
    name: "Proposal",
    cell: (one) => (
      <Link to="/basket/$id" params={{ id: one.proposal_id }} className="text-accent hover:underline">
        {one.name}
      </Link>
    ),
  },
  { name: "Status", cell: (one) => <Chip tone={PROPOSAL_TONES[one.status] ?? "unknown"}>{one.status}</Chip> },
  { name: "Accounts", cell: (one) => one.accounts.map((name) => name.split("/")[1]).join(" ") },
  { name: "Gross", cell: (one) => <Percent value={one.gross} decimals={1} />, right: true },
  { name: "By", cell: (one) => (one.mine ? "you" : one.maker), wide: true },
  { name: "Changed", cell: (one) => <Time at={one.changed_at} />, wide: true },
];

function OneBasket({ basket }: { basket: Schemas["Basket"] }) {
  const { firm, whyNot } = useScope();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const candidates = useQuery(candidatesQuery(firm, basket.name));
  const [typed, setTyped] = useState<Record<string, string>>({});
  const key = useRef(newKey());
  const weights = Object.fromEntries(
    Object.entries(typed)
      .filter(([, text]) => text.trim() !== "")
      .map(([symbol, text]) => [symbol, fraction(text)]),
  );
  const wrong = Object.entries(weights).filter(([, text]) => text === null);
  const some = Object.keys(weights).length > 0 && wrong.length === 0;
  const body = {
    basket: basket.name,
    name: null,
    accounts: [],
    complete: true,
    note: "",
    source: "bundled",
    weights: weights as Record<string, string>,
  };
  const check = useMutation({
    mutationFn: () =>
      answered(api.POST("/api/v1/firms/{firm}/proposals/precheck", { params: { path: { firm } }, body })),
  });
  const keep = useMutation({
    mutationFn: () =>
      answered(
        api.POST("/api/v1/firms/{firm}/proposals", {
          params: { path: { firm }, header: { "Idempotency-Key": key.current } },
          body,
        }),
      ),
    onSuccess: async (made) => {
      await queries.invalidateQueries({ queryKey: ["proposals"] });
      void navigate({ to: "/basket/$id", params: { id: made.proposal_id } });
    },
    onError: () => {
      key.current = newKey();
    },
  });
  const sum = Object.values(weights).reduce((total, one) => total + Number(one ?? 0), 0);
  const why = whyNot("basket.propose") || undefined;
  const columns: readonly Column<Schemas["Candidate"]>[] = [
    { name: "Symbol", cell: (one) => <span className="font-medium">{one.symbol}</span> },
    {
      name: "Regime",
      cell: (one) =>
        one.label === null ? (
          <Chip tone="unknown">unknown</Chip>
        ) : (
          <RegimeMark label={one.label} confidence={one.confidence ?? 0} />
        ),
    },
    {
      name: "Score",
      cell: (one) => (one.score === null ? "unknown" : plainNumber(one.score, 3)),
      right: true,
      wide: true,
    },
    { name: "Strategy", cell: (one) => one.strategy?.replaceAll("_", " ") ?? "none", wide: true },
    { name: "Last weight", cell: (one) => <Percent value={one.last_weight} />, right: true, wide: true },
    {
      name: "Weight, %",
      right: true,
      cell: (one) => (
        <input
          aria-label={`Weight of ${one.symbol} in percent`}
          inputMode="decimal"
          value={typed[one.symbol] ?? ""}
          disabled={Boolean(why)}
          onChange={(event) => setTyped({ ...typed, [one.symbol]: event.target.value })}
          className="h-7 w-20 rounded-control border border-line bg-raised px-2 text-right max-desk:h-11"
        />
      ),
    },
  ];
  return (
    <Panel
      title={basket.name}
      aside={
        <span className="text-meta text-muted">
          {basket.allocator.replaceAll("_", " ")}, budget {percent(basket.budget, 0)}, every {basket.cadence_sessions}{" "}
          sessions, approval {basket.approval}; followed by{" "}
          {basket.accounts.map((one) => `${one.account.split("/")[1]} (${percent(one.share, 0)})`).join(", ")}
        </span>
      }
    >
      <div className="grid gap-4">
        <Loaded
          query={candidates}
          height={300}
          empty={{ when: (d) => d.items.length === 0, why: "The basket has no members." }}
        >
          {(data) => (
            <>
              <p className="pb-2 text-muted">
                {data.run_id === null
                  ? "No run has read these symbols yet: regimes and scores are unknown."
                  : "Regimes and scores of the last run, "}
                {data.as_of ? <Time at={data.as_of} /> : null}
              </p>
              <Table
                label={`Candidates of ${basket.name}`}
                columns={columns}
                rows={data.items}
                keyOf={(one) => one.symbol}
                dense
              />
            </>
          )}
        </Loaded>
        {wrong.length > 0 ? (
          <p role="alert">
            Expected a percentage with at most seven decimals for {wrong.map(([symbol]) => symbol).join(", ")}.
          </p>
        ) : null}
        <div className="flex flex-wrap items-center gap-3">
          <span className="mr-auto text-muted">
            {Object.keys(weights).length} names, {percent(sum, 2)} in sum; a name without a weight is to be sold.
          </span>
          <Button why={why} disabled={!some || check.isPending} onClick={() => check.mutate()}>
            {check.isPending ? "The guards look at it" : "Pre-check"}
          </Button>
          <Button
            kind="primary"
            why={why}
            disabled={!some || keep.isPending}
            command={`/propose basket name:${basket.name}`}
            onClick={() => keep.mutate()}
          >
            Keep as a draft
          </Button>
        </div>
        {check.isError ? <p role="alert">{check.error.message}</p> : null}
        {keep.isError ? <p role="alert">{keep.error.message}</p> : null}
        {check.data ? <PreChecks found={check.data.accounts} /> : null}
        {basket.last_proposal === null && !check.data ? <Empty>This basket has proposed nothing yet.</Empty> : null}
      </div>
    </Panel>
  );
}
