import { queryOptions } from "@tanstack/react-query";
import { answered, api } from "./client";

/** Who is signed in: the first thing asked for, before there is a page. */
export const meQuery = queryOptions({
  queryKey: ["me"],
  queryFn: () => answered(api.GET("/api/v1/me")),
  staleTime: 60_000,
});
