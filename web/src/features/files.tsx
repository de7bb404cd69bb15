import { Link } from "@tanstack/react-router";
import type { Schemas } from "@/shared/api/client";
import { money } from "@/shared/format/numbers";
import { Time } from "@/shared/ui/Figure";
import type { Column } from "@/shared/ui/Table";

export const FILES: readonly Column<Schemas["Artifact"]>[] = [
  {
    name: "File",
    cell: (one) => (
      <Link to="/artifacts/$" params={{ _splat: one.path }} className="text-accent hover:underline">
        {one.path.split("/").slice(2).join("/") || one.name}
      </Link>
    ),
  },
  { name: "Kind", cell: (one) => one.kind },
  { name: "Bytes", cell: (one) => money(one.size_bytes), right: true },
  { name: "Changed", cell: (one) => <Time at={one.modified_at} />, wide: true },
];
