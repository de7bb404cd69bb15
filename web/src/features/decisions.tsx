import { Link } from "@tanstack/react-router";
import type { Schemas } from "@/shared/api/client";
import { Chip, StateChip, type Tone } from "@/shared/ui/Chip";
import { Money, Percent, Time } from "@/shared/ui/Figure";
import { type Column, Table } from "@/shared/ui/Table";

type Row = Schemas["DecisionRow"];
const TONES: Record<string, Tone> = {
  approve: "plain",
  resize: "accent",
  hold: "warn",
  block: "warn",
  reduce_only: "warn",
  flatten: "safety",
  lock: "safety",
};

export function OutcomeChip({ outcome }: { outcome: string }) {
  return <Chip tone={TONES[outcome] ?? "unknown"}>{outcome.replaceAll("_", " ")}</Chip>;
}

export function RuleLinks({ rules }: { rules: readonly string[] }) {
  return (
    <span className="inline-flex gap-x-2 whitespace-nowrap">
      {rules.slice(0, 4).map((one) => (
        <Link key={one} to="/constraints/$rule" params={{ rule: one }} className="text-accent hover:underline">
          {one}
        </Link>
      ))}
      {rules.length > 4 ? <span className="text-muted">+{rules.length - 4}</span> : null}
    </span>
  );
}

const COLUMNS: readonly Column<Row>[] = [
  { name: "When", cell: (row) => <Time at={row.as_of} />, width: "150px" },
  { name: "Account", cell: (row) => row.account.split("/")[1], wide: true },
  { name: "Decision", cell: (row) => <OutcomeChip outcome={row.outcome} /> },
  { name: "State", cell: (row) => <StateChip state={row.trading_state_after} />, wide: true },
  { name: "Equity", cell: (row) => <Money value={row.equity} />, right: true },
  { name: "Drawdown", cell: (row) => <Percent value={row.drawdown} />, right: true, wide: true },
  { name: "Bound by", cell: (row) => <RuleLinks rules={row.binding_rules} /> },
];

export function DecisionsTable({ rows, label }: { rows: readonly Row[]; label: string }) {
  return <Table label={label} columns={COLUMNS} rows={rows} keyOf={(row) => row.place.event_id} dense />;
}
