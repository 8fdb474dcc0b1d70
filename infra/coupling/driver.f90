! Steps a region through some years: what a climate model does with an exported model of luray.
! Arrays are those of card.json. Fortran's first axis varies fastest, so theirs are turned round.
module luray
  use, intrinsic :: iso_c_binding
  implicit none

  type, bind(c) :: luray_sizes
    integer(c_int64_t) :: batch, maps, forcing, fixed, classes, rows, cols, multiple_of
  end type

  interface
    function luray_open(onnx_file, library, threads) bind(c) result(model)
      import :: c_ptr, c_char, c_int
      character(kind=c_char), intent(in) :: onnx_file(*), library(*)
      integer(c_int), value :: threads
      type(c_ptr) :: model
    end function

    function luray_step(model, sizes, land_use, forcing, prior_forcing, fixed, probability, &
                        likeliest) bind(c) result(failed)
      import :: c_ptr, c_int, c_int8_t, c_float, luray_sizes
      type(c_ptr), value :: model
      type(luray_sizes), intent(in) :: sizes
      integer(c_int8_t), intent(in) :: land_use(*)
      real(c_float), intent(in) :: forcing(*), prior_forcing(*), fixed(*)
      real(c_float), intent(out) :: probability(*)
      integer(c_int8_t), intent(out) :: likeliest(*)
      integer(c_int) :: failed
    end function

    function luray_error() bind(c) result(text)
      import :: c_ptr
      type(c_ptr) :: text
    end function

    subroutine luray_close(model) bind(c)
      import :: c_ptr
      type(c_ptr), value :: model
    end subroutine

    function strlen(text) bind(c) result(length)
      import :: c_ptr, c_size_t
      type(c_ptr), value :: text
      integer(c_size_t) :: length
    end function
  end interface

contains

  subroutine stop_with_error()
    character(kind=c_char), pointer :: letters(:)
    type(c_ptr) :: text
    text = luray_error()
    call c_f_pointer(text, letters, [strlen(text)])
    write (0, '(*(a))') 'luray: ', letters
    stop 1
  end subroutine
end module

program driver
  use luray
  implicit none

  character(len=1024) :: model_file, library, inputs
  integer :: years, maps, forcing, fixed, classes, rows, cols, multiple_of, threads
  namelist /region/ model_file, library, inputs, years, maps, forcing, fixed, classes, rows, cols, &
    multiple_of, threads
  integer(c_int8_t), allocatable :: land_use(:, :, :), likeliest(:, :)
  real(c_float), allocatable :: now(:, :, :), before(:, :, :), static_fields(:, :, :)
  real(c_float), allocatable :: probability(:, :, :)
  type(luray_sizes) :: sizes
  type(c_ptr) :: model
  integer :: year, input, output

  threads = 1
  read (*, nml=region)
  allocate (land_use(cols, rows, maps), likeliest(cols, rows), probability(cols, rows, classes))
  allocate (now(cols, rows, forcing), before(cols, rows, forcing), static_fields(cols, rows, fixed))
  sizes = luray_sizes(1, maps, forcing, fixed, classes, rows, cols, multiple_of)

  model = luray_open(trim(model_file)//c_null_char, trim(library)//c_null_char, threads)
  if (.not. c_associated(model)) call stop_with_error()

  open (newunit=input, file=trim(inputs), access='stream', form='unformatted', status='old')
  open (newunit=output, file='maps.bin', access='stream', form='unformatted', status='replace')
  read (input) land_use, static_fields, before
  do year = 1, years
    read (input) now    ! here a climate model puts its own land-use forcing of the coming year
    if (luray_step(model, sizes, land_use, now, before, static_fields, probability, likeliest) /= 0) &
      call stop_with_error()
    write (output) likeliest

    ! The new map is the newest that the next year remembers.
    land_use(:, :, 2:) = land_use(:, :, :maps - 1)
    land_use(:, :, 1) = likeliest
    before = now
  end do
  close (output)
  call luray_close(model)
end program
