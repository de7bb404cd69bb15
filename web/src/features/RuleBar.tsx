import type { Schemas } from "@/shared/api/client";
import { LimitBar } from "@/shared/ui/LimitBar";

type Row = Pick<
  Schemas["ConstraintRow"],
  "used" | "state" | "title" | "warn_at" | "acts_at" | "holds" | "guard" | "at_least"
>;

/** How much of the limit of a rule is used. */
export function RuleBar({ row }: { row: Row }) {
  return (
    <LimitBar
      used={row.used}
      state={row.state}
      label={row.title}
      warnAt={row.warn_at}
      actsAt={row.acts_at}
      holds={row.holds}
      calm={row.guard < 3 || row.at_least}
    />
  );
}
