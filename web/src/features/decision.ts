import type { Schemas } from "@/shared/api/client";

type Decision = Pick<Schemas["Decision"], "rules" | "targets">;

export const GUARDS: Record<number, string> = {
  1: "Data sanity",
  2: "Blackouts",
  3: "Losses and drawdown",
  4: "Volatility",
  5: "Correlation and concentration",
  6: "Liquidity and orders",
};

export type Step = {
  guard: number | null;
  /** Rules that spoke: they bound, or did not know. */
  rules: readonly Schemas["RuleResult"][];
  passed: number;
  /** Symbols that a rule of this guard kept from what was proposed. */
  symbols: readonly string[];
};

/** From the proposal to what is allowed, guard by guard: which rules spoke, and what they kept back. */
export function stepsOf({ rules, targets }: Decision): Step[] {
  const guards = [...new Set(rules.map((one) => one.guard))].sort((a, b) => (a ?? 99) - (b ?? 99));
  return guards.map((guard) => {
    const own = rules.filter((one) => one.guard === guard);
    const ids = new Set(own.map((one) => one.rule_id));
    return {
      guard,
      rules: own.filter((one) => one.outcome === "bound" || one.outcome === "unknown"),
      passed: own.filter((one) => one.outcome === "pass").length,
      symbols: targets.filter((one) => one.limiting_rules.some((rule) => ids.has(rule))).map((one) => one.symbol),
    };
  });
}

/** Symbols whose weight is another one than was proposed, or of which something is traded; the largest step first. */
export function movedOf(targets: Decision["targets"]): Decision["targets"] {
  const step = (one: Schemas["TargetRow"]) => Math.abs(one.target_weight - one.current_weight);
  return [...targets]
    .filter((one) => step(one) > 0 || one.target_weight !== one.proposed_weight)
    .sort((a, b) => step(b) - step(a) || a.symbol.localeCompare(b.symbol));
}
