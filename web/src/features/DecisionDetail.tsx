import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { Schemas } from "@/shared/api/client";
import { decisionQuery } from "@/shared/api/queries";
import { plainNumber } from "@/shared/format/numbers";
import { Button } from "@/shared/ui/Button";
import { Chip, StateChip } from "@/shared/ui/Chip";
import { Facts } from "@/shared/ui/Facts";
import { Money, Percent, Time } from "@/shared/ui/Figure";
import { Loaded } from "@/shared/ui/Panel";
import { type Column, Table } from "@/shared/ui/Table";
import { useScope } from "@/shell/scope";
import { GUARDS, movedOf, type Step, stepsOf } from "./decision";
import { OutcomeChip, RuleLinks } from "./decisions";
import { OfLimit } from "./OfLimit";
import { kindWords, placeOf } from "./record";

/** One decision whole: what was proposed, which guard changed what, what came of it. */
export function DecisionDetail({ account, id }: { account: string; id: string }) {
  const { firm } = useScope();
  const query = useQuery(decisionQuery(firm, account, id));
  return (
    <Loaded query={query} height={400}>
      {(found) => <Whole found={found} />}
    </Loaded>
  );
}

function Whole({ found }: { found: Schemas["Decision"] }) {
  const [all, setAll] = useState(false);
  const moved = movedOf(found.targets);
  const rows = all ? found.targets : moved;
  return (
    <div className="grid gap-4">
      <div className="grid gap-2">
        <p className="flex flex-wrap items-center gap-2">
          <OutcomeChip outcome={found.outcome} />
          <span className="inline-flex items-center gap-2">
            <StateChip state={found.trading_state_before} />
            <span aria-hidden>→</span>
            <span className="sr-only">became</span>
            <StateChip state={found.trading_state_after} />
          </span>
          <span className="text-muted">
            <Time at={found.as_of} />
          </span>
          {found.degraded ? <Chip tone="safety">made while a store was down</Chip> : null}
          {found.redacted ? <Chip>amounts left out</Chip> : null}
        </p>
        <p>{found.rationale}</p>
        {found.findings.map((one) => (
          <p key={one} className="text-warn">
            {one}
          </p>
        ))}
      </div>
      <Facts
        of={[
          ["Equity", found.redacted ? null : <Money key="equity" value={found.equity} />],
          ["Drawdown", <Percent key="drawdown" value={found.drawdown} />],
          ["Book factor", <Percent key="throttle" value={found.throttle} decimals={1} />],
          ["Volatility factor", <Percent key="budget" value={found.budget_factor} decimals={1} />],
          ["Substitutes", found.substitutes.length > 0 ? found.substitutes.join(", ") : null],
        ]}
      />
      <section aria-label="From the proposal to what is allowed" className="grid gap-2">
        <h3 className="font-semibold">From the proposal to what is allowed</h3>
        <ol className="grid gap-2 border-l border-line pl-3">
          <li className="text-muted">
            Proposed: {found.targets.filter((one) => one.proposed_weight !== 0).length} symbols,{" "}
            <Percent value={sumOf(found.targets, "proposed_weight")} decimals={1} /> of equity
          </li>
          {stepsOf(found).map((step) => (
            <GuardStep key={step.guard ?? "none"} step={step} />
          ))}
          <li>
            Allowed: {found.targets.filter((one) => one.target_weight !== 0).length} symbols,{" "}
            <Percent value={sumOf(found.targets, "target_weight")} decimals={1} /> of equity
            {found.changed_symbols === null ? "" : `; ${found.changed_symbols} to be traded`}
          </li>
        </ol>
      </section>
      <section aria-label="Symbols" className="grid gap-2">
        <div className="flex flex-wrap items-center gap-2">
          <h3 className="mr-auto font-semibold">Symbols before and after</h3>
          {moved.length < found.targets.length ? (
            <Button onClick={() => setAll(!all)}>{all ? "Only what moves" : `All ${found.targets.length}`}</Button>
          ) : null}
        </div>
        {rows.length === 0 ? (
          <p className="text-muted">Nothing moves: everything stays as it was held.</p>
        ) : (
          <Table label="Symbols of the decision" columns={TARGETS} rows={rows} keyOf={(one) => one.symbol} dense />
        )}
      </section>
      {found.consequences.length > 0 ? (
        <section aria-label="What came of it" className="grid gap-1">
          <h3 className="font-semibold">What came of it</h3>
          <ul>
            {found.consequences.map((one) => (
              <li key={placeOf(one)}>
                <Link to="/audit/$" params={{ _splat: placeOf(one) }} className="text-accent underline">
                  {kindWords(one.event_type)}
                </Link>{" "}
                {one.rationale}
              </li>
            ))}
          </ul>
        </section>
      ) : null}
      <p className="flex flex-wrap gap-x-4 gap-y-1">
        <Link to="/audit/$" params={{ _splat: placeOf(found.place) }} className="text-accent underline">
          Its entry in the record
        </Link>
        <Link to="/runs/$id" params={{ id: found.run_id }} className="text-accent underline">
          Its run
        </Link>
      </p>
      {found.inputs ? <Inputs inputs={found.inputs} /> : null}
    </div>
  );
}

function Inputs({ inputs }: { inputs: Schemas["InputReferences"] }) {
  const hashes = [
    ["Snapshot", inputs.snapshot_hash],
    ["Proposal", inputs.proposal_hash],
    ["State", inputs.state_hash],
    ["Configuration", inputs.config_hash],
  ] as const;
  return (
    <details>
      <summary className="cursor-pointer text-muted">What it follows from</summary>
      <div className="pt-2">
        <Facts
          of={[
            ...hashes.map(
              ([name, hash]) =>
                [
                  name,
                  <code key={name} className="break-all">
                    {hash}
                  </code>,
                ] as const,
            ),
            ["Program", inputs.code_version],
            ["Features", inputs.feature_set_version || null],
            ["Stored inputs", inputs.stored_inputs.join(", ") || null],
          ]}
        />
      </div>
    </details>
  );
}

function GuardStep({ step }: { step: Step }) {
  const name = step.guard === null ? "Rules of an older program" : `${step.guard}. ${GUARDS[step.guard] ?? "Guard"}`;
  return (
    <li className="grid gap-1">
      <p className={step.rules.length > 0 ? "font-medium" : "text-muted"}>
        {name}
        {step.rules.length > 0 && step.symbols.length === 0 ? "" : ": "}
        <span className="font-normal text-muted">
          {step.rules.length === 0
            ? `${step.passed} rules, nothing changed`
            : step.symbols.length > 0
              ? `kept back ${step.symbols.slice(0, 6).join(", ")}${step.symbols.length > 6 ? ` and ${step.symbols.length - 6} more` : ""}`
              : ""}
        </span>
      </p>
      {step.rules.map((one) => (
        <p key={one.rule_id} className="flex flex-wrap items-center gap-x-2 gap-y-0.5">
          <RuleLinks rules={[one.rule_id]} />
          {one.title}
          {one.outcome === "unknown" ? (
            <Chip tone="unknown">unknown, so at its most careful</Chip>
          ) : (
            <OfLimit row={{ value: one.value, limit: one.limit, unit: one.unit ?? "", at_least: false }} />
          )}
          {one.reason_codes.length > 0 ? (
            <span className="text-muted">
              {one.reason_codes.map((code) => code.replaceAll("_", " ").toLowerCase()).join(", ")}
            </span>
          ) : null}
        </p>
      ))}
    </li>
  );
}

function sumOf(rows: readonly Schemas["TargetRow"][], column: "proposed_weight" | "target_weight"): number {
  return rows.reduce((sum, one) => sum + one[column], 0);
}

const TARGETS: readonly Column<Schemas["TargetRow"]>[] = [
  { name: "Symbol", cell: (one) => <span className="font-medium">{one.symbol}</span> },
  { name: "Held", cell: (one) => <Percent value={one.current_weight} />, right: true },
  { name: "Proposed", cell: (one) => <Percent value={one.proposed_weight} />, right: true },
  { name: "Allowed", cell: (one) => <Percent value={one.target_weight} />, right: true },
  { name: "To trade", cell: (one) => plainNumber(one.step_quantity, 8), right: true, wide: true },
  { name: "Limited by", cell: (one) => <RuleLinks rules={one.limiting_rules} />, wide: true },
];
