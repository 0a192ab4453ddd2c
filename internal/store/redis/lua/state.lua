-- What every operation answers, and nothing else.
return answer()
