-- A family and the number below which all are revoked; Go judges.
--   ARGV[4] key
local f = load(ARGV[4])
if not f then return answer(text(before)) end
return answer(text(before), raw(f))
