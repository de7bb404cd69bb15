import { ruleValues } from "@/shared/format/numbers";

type Props = { row: { value: string | null; limit: string | null; unit: string; at_least: boolean } };

/** A value and its limit in figures. */
export function OfLimit({ row }: Props) {
  if (row.value === null && row.limit === null) return <span className="text-muted">no figure</span>;
  const [value, limit] = ruleValues(row.value, row.limit, row.unit);
  return (
    <span className="whitespace-nowrap">
      {value}{" "}
      <span className="text-muted">
        {row.at_least ? "at least" : "of"} {limit}
      </span>
    </span>
  );
}
