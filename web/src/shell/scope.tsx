import { type QueryClient, useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { useSearch } from "@tanstack/react-router";
import { createContext, type ReactNode, useContext } from "react";
import type { Schemas } from "@/shared/api/client";
import { accountsQuery, meQuery } from "@/shared/api/queries";
import type { LiveStore } from "@/shared/live/store";

export type Account = Schemas["AccountSummary"];
export type Permission = Schemas["HeldOut"]["permission"];

export type Scope = {
  me: Schemas["MeOut"];
  firm: string;
  firms: readonly string[];
  /** Accounts of the firm that this person may see, as they are now; undefined while that is not known. */
  accounts: readonly Account[] | undefined;
  /** They are asked for the first time: nothing is known of them yet, and nothing is amiss. */
  asking: boolean;
  /** They could not be read anew: what is known of them is what they were. */
  old: boolean;
  /** The account that is looked at: the one of the address, else the first. */
  account: string | undefined;
  /** Ids of the accounts of the firm that this person has a role over; known as soon as somebody is signed in. */
  ids: readonly string[];
  chosen: string | undefined;
  live: LiveStore;
  /** Whether somebody has a role that may do something, for one account at least. */
  holds: (permission: Permission) => boolean;
  /** Why somebody may not do something; empty where they may. */
  whyNot: (permission: Permission, account?: string) => string;
};

const Context = createContext<Scope | null>(null);

export function useScope(): Scope {
  const found = useContext(Context);
  if (found === null) throw new Error("outside of the shell");
  return found;
}

const NEEDS: Record<string, string> = {
  second_factor: "a second factor: set one up under Settings",
  step_up: "", // asked for when it is confirmed
  role: "another role",
};

export function whyNotOf(me: Schemas["MeOut"], firm: string, permission: Permission, account?: string): string {
  const held = me.permissions.filter((one) => one.firm === firm && one.permission === permission);
  const mine = held.find(
    (one) => one.accounts === null || account === undefined || one.accounts.includes(`${firm}/${account}`),
  );
  if (mine === undefined) {
    const takes = me.takes.find((one) => one.permission === permission)?.said ?? "another role";
    return `This takes ${takes}.`;
  }
  const missing = mine.needs.map((need) => NEEDS[need] ?? need).filter(Boolean);
  return missing.length > 0 ? `This takes ${missing.join(" and ")}.` : "";
}

type Asked = { firm?: string; account?: string };

/** The firm of an address, else the first; the accounts of it that somebody has a role over, and the one chosen. */
function placeOf(me: Schemas["MeOut"], search: Asked) {
  const firms = me.firms.map((one) => one.firm);
  const firm = search.firm && firms.includes(search.firm) ? search.firm : (firms[0] ?? "");
  const own = me.firms.find((one) => one.firm === firm)?.accounts ?? [];
  const ids = own.map((one) => one.slice(firm.length + 1));
  const chosen = search.account && ids.includes(search.account) ? search.account : undefined;
  return { firms, firm, ids, chosen, account: chosen ?? ids[0] };
}

/** What a page shows is asked for while the page is still made; nothing waits for it. */
export function askAhead(
  queries: QueryClient,
  search: Asked,
  asked: (firm: string, account: string) => readonly { queryKey: readonly unknown[] }[],
): void {
  const me = queries.getQueryData(meQuery.queryKey);
  const { firm, account } = me === undefined ? { firm: "", account: undefined } : placeOf(me, search);
  if (account !== undefined) for (const query of asked(firm, account)) void queries.prefetchQuery(query);
}

export function ScopeProvider({ live, children }: { live: LiveStore; children: ReactNode }) {
  const { data: me } = useSuspenseQuery(meQuery);
  const search = useSearch({ strict: false }) as Asked;
  const { firms, firm, ids, chosen, account } = placeOf(me, search);
  const { data: accounts, isLoading: asking, isError } = useQuery({ ...accountsQuery(firm), enabled: firm !== "" });
  const scope: Scope = {
    me,
    firm,
    firms,
    accounts,
    asking,
    old: isError && accounts !== undefined,
    account,
    ids,
    chosen,
    live,
    holds: (permission) => me.permissions.some((one) => one.firm === firm && one.permission === permission),
    whyNot: (permission, account) => whyNotOf(me, firm, permission, account),
  };
  return <Context.Provider value={scope}>{children}</Context.Provider>;
}
