# Every kernel of the tests runs this. A progress bar's text changes from run to run; the terminal's bar, other than the
# notebook's, obeys TQDM_DISABLE.
import tqdm.auto
import tqdm.std

tqdm.auto.tqdm = tqdm.std.tqdm
del tqdm
